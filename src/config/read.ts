import path from 'node:path'
import { advise } from './advice.ts'
import { type Configuration, configurationOf } from './build.ts'
import { crossCheck } from './cross-checks.ts'
import { MAX_FILE, readBounded } from './files.ts'
import { Findings, type Problem } from './problems.ts'
import { type FileContent, Reader } from './reader.ts'
import { file as fileShape } from './schema.ts'
import { parseTree } from './tree.ts'

export interface ReadOptions {
  /** Default: this process's. */
  readonly env?: Readonly<Record<string, string | undefined>>
}

export interface ReadResult {
  /** Undefined where there are problems. */
  readonly configuration: Configuration | undefined
  /** In the order of the file; at most 100. */
  readonly problems: readonly Problem[]
  /** How many there are beside these. */
  readonly left: number
  /** What is legal, but unwise. */
  readonly warnings: readonly Problem[]
  /** Absolute paths of all that was read, the file itself first: a change of any of them may change the configuration. */
  readonly files: readonly string[]
}

/** Reads a configuration file, and the files that it names. Never throws: whatever is wrong is among the problems. */
export async function readConfigFile(file: string, options: ReadOptions = {}): Promise<ReadResult> {
  const content = await readBounded(path.resolve(file))
  if ('text' in content) return await readConfig(content.text, { ...options, file })
  const findings = new Findings(file)
  findings.add(START, [], { wrong: `the file cannot be read: ${content.failure}` })
  return refusal(findings, [path.resolve(file)])
}

/** The same of a text; `file` is what problems call it, and paths in it are relative to its folder. */
export async function readConfig(text: string, options: ReadOptions & { readonly file: string }): Promise<ReadResult> {
  const { file, env = process.env } = options
  const read = new Map<string, FileContent>()
  const files = () => [path.resolve(file), ...read.keys()]
  const findings = new Findings(file)
  if (Buffer.byteLength(text) > MAX_FILE) {
    findings.add(START, [], { wrong: `the file is larger than ${MAX_FILE / 1024 / 1024} MiB` })
    return refusal(findings, files())
  }
  const tree = parseTree(text, findings)
  if (findings.any) return refusal(findings, files())
  for (;;) {
    const found = new Findings(file)
    const advice = new Findings(file)
    const reader = new Reader({
      tree,
      findings: found,
      advice,
      folder: path.dirname(path.resolve(file)),
      env,
      files: read
    })
    const values = fileShape.read(tree.root!, [], reader) ?? {}
    const wanted = [...reader.wanted].slice(0, Math.max(0, MAX_FILES - read.size))
    if (wanted.length > 0) {
      // What they hold decides what else is wrong, and may name further ones.
      await Promise.all(wanted.map(async name => read.set(name, withoutLastBreak(await readBounded(name)))))
      continue
    }
    crossCheck(values, reader)
    if (found.any) return refusal(found, files())
    advise(values, tree, reader)
    return {
      configuration: configurationOf(values, reader.secrets),
      problems: [],
      left: 0,
      warnings: advice.problems,
      files: files()
    }
  }
}

/** More are not read. */
const MAX_FILES = 1000
const START = { line: 1, column: 1 }

function refusal(findings: Findings, files: readonly string[]): ReadResult {
  return { configuration: undefined, problems: findings.problems, left: findings.left, warnings: [], files }
}

/** Editors and `echo` end a file with one, which is no part of a secret. */
function withoutLastBreak(content: FileContent): FileContent {
  return 'text' in content ? { text: content.text.replace(/\r?\n$/, '') } : content
}
