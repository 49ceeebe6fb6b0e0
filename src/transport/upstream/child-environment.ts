type Environment = Readonly<Record<string, string | undefined>>

/** What programs need to find their way, and holds no secrets as a rule; the MCP SDKs give the same to servers they start. */
const POSIX_NAMES = ['PATH', 'HOME', 'USER', 'LOGNAME', 'SHELL', 'TERM', 'LANG', 'TZ', 'TMPDIR', 'TEMP', 'TMP']
const WINDOWS_NAMES = [
  ...['APPDATA', 'COMSPEC', 'HOMEDRIVE', 'HOMEPATH', 'LOCALAPPDATA', 'NUMBER_OF_PROCESSORS', 'OS', 'PATH', 'PATHEXT'],
  ...['PROCESSOR_ARCHITECTURE', 'PROGRAMDATA', 'PROGRAMFILES', 'PROGRAMFILES(X86)', 'PROGRAMW6432', 'SYSTEMDRIVE'],
  ...['SYSTEMROOT', 'TEMP', 'TMP', 'TZ', 'LANG', 'USERDOMAIN', 'USERNAME', 'USERPROFILE', 'WINDIR']
]

/** All but catflap's own settings (its token among them), which are no business of the server's. */
export function withoutOwn(env: Environment): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^CATFLAP_/i.test(name)))
}

/** The short list that every command on a route gets, and these names besides. */
export function shortEnvironment(
  env: Environment,
  inherit: readonly string[],
  platform: NodeJS.Platform = process.platform
): Record<string, string | undefined> {
  const windows = platform === 'win32'
  // Windows knows no difference between PATH and Path.
  const key = (name: string): string => (windows ? name.toUpperCase() : name)
  const wanted = new Set([...(windows ? WINDOWS_NAMES : POSIX_NAMES), ...inherit].map(key))
  const asked = new Set(inherit.map(key))
  return Object.fromEntries(
    Object.entries(env).filter(([name, value]) => {
      // Some shells hand functions on as variables, which others would run.
      if (value?.startsWith('()') && !asked.has(key(name))) return false
      return wanted.has(key(name)) || /^LC_/.test(key(name))
    })
  )
}
