/** The files of examples/deploy, and what is needed to try them. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { parseDuration } from '../../src/proxy/options.ts'
import { runCatflap } from '../helpers/catflap.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))
export const DEPLOY = path.join(ROOT, 'examples/deploy')

export const read = (name: string): string => readFileSync(path.join(DEPLOY, name), 'utf8')

/** Of one document, or of several, as plain values. Throws at what is no YAML, and at keys that stand there twice. */
export const yaml = (name: string): unknown => parse(read(name), { strict: true })
export function manifests(name: string): Record<string, unknown>[] {
  return parseAllDocuments(read(name), { strict: true }).map(document => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS() as Record<string, unknown>
  })
}

/** As far as these files use it. */
export interface Config {
  readonly listeners: readonly { readonly address: string; readonly tls?: Record<string, string> }[]
  readonly routes: Readonly<Record<string, { readonly target?: string; readonly tokens?: readonly string[] }>>
  readonly admin: { readonly address: string; readonly token?: string }
  readonly drainTimeout?: string
  readonly trustedProxies?: readonly string[]
}

export const portOf = (address: string): number => Number(/:(\d+)$/.exec(address)?.[1])

/** The longest that catflap itself takes to stop with this file, in ms: what surrounds it must wait for more. */
export function stopTime({ drainTimeout = '10s' }: Config): number {
  // Streams and answers are flushed, sessions and children ended.
  return parseDuration(drainTimeout) + 5_000
}

export function tempFolder(t: Test): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'catflap-deploy-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Free at this moment, for programs that cannot take any free one. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  await new Promise(resolve => server.close(resolve))
  return port
}

/** The `skip` option of a test: false where `catflap <command>` is there. */
export function skipWithoutCommand(command: 'config' | 'reverse'): false | string {
  return existsSync(path.join(ROOT, `src/cli/${command}.ts`)) ? false : `there is no command 'catflap ${command}' yet`
}

/** A copy of the file whose secrets exist, checked by `catflap config check`. */
export async function checkConfig(t: Test, text: string): Promise<void> {
  const folder = tempFolder(t)
  const secret = path.join(folder, 'secret')
  writeFileSync(secret, 'a-secret-of-some-length\n')
  const file = path.join(folder, 'catflap.yaml')
  writeFileSync(file, text.replace(/file:\/\S+/g, `file:${secret}`))
  const run = runCatflap(['config', 'check', file], { json: false })
  const { code } = await run.exit
  t.equal(code, 0, [...run.stdout.items, ...run.stderr.items].join('\n'))
}
