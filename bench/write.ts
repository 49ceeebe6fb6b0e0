/**
 * Writes the numbers of a run into docs/performance.md, with its curves and the raw data beside it.
 *
 *   node bench/write.ts RAW.json
 */
import { spawnSync } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { filledPage, pictures } from './report/page.ts'
import type { Run } from './report/results.ts'

const DOCS = path.join(import.meta.dirname, '../docs')
const FOLDER = path.join(DOCS, 'performance')
const DATA = path.join(FOLDER, 'run.json')
const BIOME = path.join(DOCS, '../node_modules/@biomejs/biome/bin/biome')

const [file] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write('write: no raw data given: node bench/write.ts RAW.json\n')
  process.exit(2)
}

const raw = await readFile(file, 'utf8')
const run = JSON.parse(raw) as Run
if (run.version !== 1) throw new Error(`${file}: this is no raw data of version 1`)
const page = path.join(DOCS, 'performance.md')
await mkdir(FOLDER, { recursive: true })
await writeFile(page, filledPage(await readFile(page, 'utf8'), run))
await writeFile(DATA, raw)
// It is looked at by people too, and is held to the same form as everything here.
spawnSync(process.execPath, [BIOME, 'format', '--write', DATA], { stdio: 'ignore' })
for (const [name, svg] of pictures(run)) await writeFile(path.join(FOLDER, name), svg)
