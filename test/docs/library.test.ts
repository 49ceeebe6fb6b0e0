import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const read = (name: string): string => readFileSync(path.join(ROOT, name), 'utf8')
const programs = ['README.md', 'docs/library.md'].flatMap(file =>
  [...read(file).matchAll(/```ts\n([\s\S]*?)```/g)].map(([, source], i) => ({
    name: `${path.basename(file, '.md')}-${i}`,
    source: source!
  }))
)

t.test('everything that src/index.ts exports is documented', async t => {
  const source = read('src/index.ts').replace(/\/\*[\s\S]*?\*\//g, '')
  const names = [...source.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap(m =>
    m[1]!.split(',').map(n => n.trim().replace(/^type /, ''))
  )
  t.ok(names.length > 30)
  const page = read('docs/library.md')
  for (const name of names) t.match(page, new RegExp(`\\b${name}\\b`), name)
})

t.test('the programs in README and docs/library.md are valid TypeScript', async t => {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-docs-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  for (const { name, source } of programs) writeFileSync(path.join(dir, `${name}.ts`), source)
  const compilerOptions = {
    rootDir: path.parse(ROOT).root,
    paths: { catflap: [path.join(ROOT, 'src/index.ts')] },
    typeRoots: [path.join(ROOT, 'node_modules/@types')]
  }
  writeFileSync(path.join(dir, 'package.json'), '{ "type": "module" }')
  writeFileSync(
    path.join(dir, 'tsconfig.json'),
    JSON.stringify({ extends: path.join(ROOT, 'tsconfig.json'), compilerOptions, include: ['*.ts'] })
  )
  const { status, stdout } = spawnSync(
    process.execPath,
    [path.join(ROOT, 'node_modules/typescript/lib/tsc.js'), '-p', dir],
    { encoding: 'utf8' }
  )
  t.equal(status, 0, stdout)
})

t.test('the program in README runs', async t => {
  const entry = new URL('../../src/index.ts', import.meta.url).href
  const source = programs.find(p => p.name === 'README-0')!.source.replace(`'catflap'`, `'${entry}'`)
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--no-warnings', '--input-type=module-typescript', '-e', source],
    { encoding: 'utf8' }
  )
  t.equal(status, 0, stderr)
  t.match(stdout, /^http:\/\/127\.0\.0\.1:\d+\/mcp$/m)
})
