/** catflap as its users run it: compiled, from this tree or from another commit. */
import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export const ROOT = path.join(import.meta.dirname, '../..')

/** Where its command and its library are. */
export interface Built {
  readonly folder: string
  readonly command: string
  readonly library: string
  /** It knows `--metrics`. */
  readonly metrics: boolean
}

/** Compiles a tree into a folder of its own, so that nobody's `dist` is touched. */
export async function build(tree: string, folder: string): Promise<Built> {
  const tsc = path.join(ROOT, 'node_modules/typescript/lib/tsc.js')
  await mkdir(folder, { recursive: true })
  await copyFile(path.join(tree, 'package.json'), path.join(folder, 'package.json'))
  await link(folder)
  const dist = path.join(folder, 'dist')
  try {
    const args = ['-p', path.join(tree, 'tsconfig.build.json'), '--outDir', dist]
    await run(process.execPath, [tsc, ...args], { timeout: 120_000 })
  } catch (error) {
    const { stdout } = error as { stdout?: string }
    throw new Error(`${tree} does not compile: ${stdout?.slice(0, 2000) || error}`)
  }
  const command = path.join(dist, 'bin/catflap.js')
  const help = await run(process.execPath, [command, 'forward', '--help'], { timeout: 20_000 })
  return { folder, command, library: path.join(dist, 'src/index.js'), metrics: help.stdout.includes('--metrics') }
}

/**
 * Another commit, with the packages of this tree. `git archive` and not a worktree: it leaves nothing in the repository,
 * however the run ends.
 */
export async function buildCommit(ref: string, folder: string): Promise<Built & { readonly commit: string }> {
  const tree = path.join(folder, 'tree')
  const archive = path.join(folder, 'tree.tar')
  await mkdir(tree, { recursive: true })
  const commit = await commitOf(ref)
  await run('git', ['-C', ROOT, 'archive', '--output', archive, commit], { timeout: 60_000 })
  await run('tar', ['-xf', archive, '-C', tree], { timeout: 60_000 })
  await link(tree)
  return { ...(await build(tree, path.join(folder, 'built'))), commit }
}

/** Throws, with what to give, unless the repository knows it. */
export async function commitOf(ref: string): Promise<string> {
  try {
    const { stdout } = await run('git', ['-C', ROOT, 'rev-parse', '--verify', '--end-of-options', `${ref}^{commit}`])
    return stdout.trim()
  } catch {
    throw new TypeError(`--compare: '${ref}' is no commit of this repository; give a branch, a tag or a hash`)
  }
}

/** A program of ours as plain JavaScript beside catflap's: loading TypeScript would cost it time and memory that catflap does not pay. */
export async function stripped(name: string, folder: string): Promise<string> {
  const file = path.join(folder, `${name}.js`)
  const source = await readFile(path.join(ROOT, 'bench/programs', `${name}.ts`), 'utf8')
  await writeFile(file, stripTypeScriptTypes(source))
  return file
}

async function link(folder: string): Promise<void> {
  await symlink(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'), 'junction')
}
