/** The target's own query stays; what the client added comes behind it. */
export function withQuery(path: string, query: string | undefined): string {
  if (query === undefined || query.length < 2) return path
  return path.includes('?') ? `${path}&${query.slice(1)}` : path + query
}

/** Path and query of where `location` leads from `base`; undefined where that is another origin, or nowhere. */
export function sameOriginPath(location: string | undefined, base: URL): string | undefined {
  if (location === undefined || !URL.canParse(location, base.href)) return undefined
  const to = new URL(location, base)
  return to.origin === base.origin ? `${to.pathname}${to.search}` : undefined
}
