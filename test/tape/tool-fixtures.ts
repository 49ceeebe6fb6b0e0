import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { TapeFrame } from '../../src/tape/format.ts'
import { TapeReader } from '../../src/tape/reader.ts'
import { collect, folderOf, HEADER } from './fixtures.ts'

export const posix = process.platform !== 'win32'
const cli = fileURLToPath(new URL('cli-fixture.ts', import.meta.url))

export async function run(
  t: Test,
  args: string[],
  { env = {}, input = '' }: { env?: NodeJS.ProcessEnv; input?: string } = {}
) {
  const child = spawn(process.execPath, [cli, 'tape', ...args], { env: { ...process.env, NO_COLOR: '1', ...env } })
  t.teardown(() => child.kill('SIGKILL'))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { out, err, code: code as number }
}

/** Several commands of one process, one after the other: to start one takes longer than what it does. */
export async function runEach(t: Test, commands: readonly (readonly string[])[]) {
  const input = JSON.stringify(commands.map(args => ['tape', ...args]))
  const { out, err, code } = await run(t, [], { env: { CATFLAP_TEST_COMMANDS: '1' }, input })
  if (code !== 0) throw new Error(`exit code ${code}: ${err}`)
  const [outs, errs] = [out.split('\0'), err.split('\0')]
  return commands.map((_, i) => ({ out: outs[2 * i]!, err: errs[i]!, code: Number(outs[2 * i + 1]) }))
}

export type Message = { readonly [key: string]: unknown }

export function frameOf(n: number, dir: 'up' | 'down', message: Message, more: Partial<TapeFrame> = {}): TapeFrame {
  const text = JSON.stringify({ jsonrpc: '2.0', ...message })
  return {
    n,
    t: n * 1000,
    side: 'client',
    dir,
    kind: 'message',
    session: 's1',
    stream: `post-${message.id}`,
    text,
    ...more
  }
}

export function call(
  n: number,
  id: number,
  name: string,
  args: Message = {},
  more: Partial<TapeFrame> = {}
): TapeFrame {
  const http = {
    method: 'POST',
    path: '/mcp',
    headers: [['mcp-session-id', more.session ?? 's1']] as [string, string][]
  }
  return frameOf(n, 'up', { id, method: 'tools/call', params: { name, arguments: args } }, { http, ...more })
}

export function answer(n: number, id: number, result: Message, more: Partial<TapeFrame> = {}): TapeFrame {
  return frameOf(
    n,
    'down',
    { id, result },
    { http: { status: 200, headers: [['content-type', 'application/json']] }, ...more }
  )
}

export function tapeOf(frames: readonly TapeFrame[]): string {
  return [HEADER, ...frames.map(frame => JSON.stringify(frame)), ''].join('\n')
}

export const conversation: readonly TapeFrame[] = [
  call(1, 1, 'echo', { password: 'hunter2-hunter2' }),
  answer(2, 1, { content: [{ type: 'text', text: 'you said hunter2-hunter2' }] }),
  call(3, 2, 'fail'),
  call(4, 3, 'echo', {}, { session: 's2' }),
  answer(5, 2, { content: [], isError: true }),
  frameOf(6, 'down', { id: 3, error: { code: -5, message: 'no' } }, { session: 's2' }),
  frameOf(7, 'up', { id: 4, method: 'tools/list' }),
  answer(8, 4, { tools: [] })
]

export async function tapeIn(t: Test, frames = conversation): Promise<string> {
  const file = path.join(await folderOf(t), 'a.tape.jsonl')
  await writeFile(file, tapeOf(frames))
  return file
}

export async function numbersOn(file: string): Promise<number[]> {
  return (await collect(await TapeReader.open(file))).map(frame => frame.n)
}
