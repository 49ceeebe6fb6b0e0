import { fileURLToPath } from 'node:url'
import type { CommandTarget, UrlTarget } from '../src/index.ts'

/** A server's URL from the command line, or the official reference server, started on stdio. */
export function targetFrom(args: readonly string[]): UrlTarget | CommandTarget {
  const [url] = args
  if (url !== undefined) return { url }
  const everything = import.meta.resolve('@modelcontextprotocol/server-everything/dist/index.js')
  return { command: process.execPath, args: [fileURLToPath(everything), 'stdio'] }
}
