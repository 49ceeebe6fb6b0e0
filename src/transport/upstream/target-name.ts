/**
 * What a server behind a URL is called, wherever it is named: without user name, password and query, and without what `scrub`
 * knows to be secret, as some services have a secret in the path.
 */
export function targetName(url: URL, scrub: ((text: string) => string) | undefined): string {
  const name = `${url.origin}${url.pathname}`
  return scrub?.(name) ?? name
}
