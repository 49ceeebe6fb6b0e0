import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import type { Configuration } from '../../src/config/build.ts'
import { problemText } from '../../src/config/problems.ts'
import { type ReadResult, readConfig } from '../../src/config/read.ts'

/** A folder of its own, with these files in it. */
export function folderOf(t: Test, files: Readonly<Record<string, string | Buffer>> = {}): string {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-config-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(dir, name)), { recursive: true })
    writeFileSync(path.join(dir, name), content)
  }
  return dir
}

interface Given {
  readonly env?: Readonly<Record<string, string>>
  readonly folder?: string
}

export function read(text: string, { env = {}, folder = '/nowhere' }: Given = {}): Promise<ReadResult> {
  return readConfig(text, { file: path.join(folder, 'catflap.yaml'), env })
}

/** Of a file in which nothing is wrong. */
export async function accepted(text: string, given: Given = {}): Promise<Configuration> {
  const { configuration, problems } = await read(text, given)
  if (!configuration) throw new Error(problems.map(problemText).join('\n'))
  return configuration
}

/** `line:column path: what`, for each problem. */
export async function refused(text: string, given: Given = {}): Promise<string[]> {
  const { problems } = await read(text, given)
  return problems.map(p => problemText(p).slice(p.file.length + 1))
}
