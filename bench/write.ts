/**
 * Writes the numbers of a run into docs/performance.md, with its curves and the raw data beside it. A run that is not
 * whole makes a page too: what is missing is told as not measured.
 *
 *   node bench/write.ts RAW.json [DOCS [PAGE]]     PAGE: performance (the default), reverse-performance or replay-performance
 */
import { spawnSync } from 'node:child_process'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { filledPage, pictures } from './report/page.ts'
import type { Run } from './report/results.ts'

const DOCS = path.join(import.meta.dirname, '../docs')
const BIOME = path.join(DOCS, '../node_modules/@biomejs/biome/bin/biome')

const [file, docs = DOCS, name = 'performance'] = process.argv.slice(2)
if (file === undefined) {
  process.stderr.write('write: no raw data given: node bench/write.ts RAW.json [DOCS [PAGE]]\n')
  process.exit(2)
}

const raw = await readFile(file, 'utf8')
const run = JSON.parse(raw) as Run
if (run.version !== 1) throw new Error(`${file}: this is no raw data of version 1`)
if (run.profiled) throw new Error(`${file}: catflap was slowed by its profiler in this run; make one without --profile`)
const folder = path.join(docs, name)
const data = path.join(folder, 'run.json')
const page = path.join(docs, `${name}.md`)
await mkdir(folder, { recursive: true })
await writeFile(page, filledPage(await readFile(page, 'utf8'), run))
await writeFile(data, raw)
// It is looked at by people too, and is held to the same form as everything here.
spawnSync(process.execPath, [BIOME, 'format', '--write', data], { stdio: 'ignore' })
const drawn = pictures(run)
// A run without a curve must not leave another run's beside the page.
for (const picture of await readdir(folder))
  if (picture.endsWith('.svg') && !drawn.has(picture)) await rm(path.join(folder, picture))
for (const [picture, svg] of drawn) await writeFile(path.join(folder, picture), svg)
