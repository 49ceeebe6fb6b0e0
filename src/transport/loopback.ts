/** A name or an address that only this machine reaches. */
export function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '').toLowerCase()
  return host === 'localhost' || host.endsWith('.localhost') || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Where a listener can be reached from this machine: one that is bound to every address, by the loopback one. */
export function originOf(asked: string, bound: string, port: number): string {
  const host = isLoopback(asked) || !/^(?:0\.0\.0\.0|::)$/.test(bound) ? bound : '127.0.0.1'
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}
