import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { VERSION } from '../src/version.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (name: string): string => readFileSync(path.join(ROOT, name), 'utf8')

interface Manifest {
  readonly version: string
  readonly license: string
  readonly bin: Record<string, string>
  readonly exports: Record<string, string | Record<string, string>>
  readonly engines: { readonly node: string }
  readonly scripts: Record<string, string>
}

const manifest = JSON.parse(read('package.json')) as Manifest

t.test('one version everywhere', async t => {
  t.equal(VERSION, manifest.version)
  t.match(read('CHANGELOG.md'), new RegExp(`^## .*\\b${manifest.version.replaceAll('.', '\\.')}\\b`, 'm'))
  const lock = JSON.parse(read('package-lock.json')) as Manifest & { packages: Record<string, Manifest> }
  t.equal(lock.version, manifest.version)
  t.same(lock.packages['']?.engines, manifest.engines)
})

t.test('the Node that is required is the one that is checked for', async t => {
  const [, major, minor] = /^>=(\d+)\.(\d+)$/.exec(manifest.engines.node)!
  const entry = read('bin/catflap.ts')
  t.match(entry, `major < ${major}`)
  t.match(entry, `minor < ${minor}`)
})

t.test('the lockfile names no download addresses', async t => {
  t.notMatch(read('package-lock.json'), /"resolved"/)
})

t.test('the licence is the one the manifest names', async t => {
  t.equal(manifest.license, 'Apache-2.0')
  t.match(read('LICENSE'), /Apache License\s+Version 2\.0, January 2004/)
  t.match(read('LICENSE'), /END OF TERMS AND CONDITIONS/)
})

t.test('built and packed', async t => {
  const dir = mkdtempSync(path.join(tmpdir(), 'catflap-package-'))
  t.teardown(() => rmSync(dir, { recursive: true }))
  for (const name of ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'docs'])
    cpSync(path.join(ROOT, name), path.join(dir, name), { recursive: true })
  const tsc = path.join(ROOT, 'node_modules/typescript/lib/tsc.js')
  run(process.execPath, [tsc, '-p', path.join(ROOT, 'tsconfig.build.json'), '--outDir', path.join(dir, 'dist')])

  t.test('the tarball holds what users need, and nothing else', async t => {
    const out = npm(['pack', '--dry-run', '--json', '--ignore-scripts'], dir)
    const packed = JSON.parse(out) as { files: { path: string }[] }[] | Record<string, { files: { path: string }[] }>
    const files = Object.values(packed)[0]!.files.map(f => f.path)
    const allowed =
      /^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|docs\/.+\.(?:md|json)|dist\/(?:bin|src)\/.+\.(?:js|d\.ts))$/
    t.same(
      files.filter(f => !allowed.test(f)),
      []
    )
    for (const name of ['README.md', 'LICENSE', 'CHANGELOG.md', 'docs/tape-format.md', ...Object.values(manifest.bin)])
      t.ok(files.includes(name), name)
  })

  t.test('every entry point exists', async t => {
    const targets = [
      ...Object.values(manifest.bin),
      ...Object.values(manifest.exports).flatMap(e => (typeof e === 'string' ? e : Object.values(e)))
    ]
    for (const target of targets) t.ok(existsSync(path.join(dir, target)), target)
  })

  t.test('the command starts, and the library can be imported', async t => {
    symlinkSync(path.join(ROOT, 'node_modules'), path.join(dir, 'node_modules'), 'junction')
    const bin = path.join(dir, manifest.bin.catflap!)
    t.equal(readFileSync(bin, 'utf8').split('\n')[0], '#!/usr/bin/env node')
    t.equal(run(process.execPath, [bin, '--version']).trim(), VERSION)
    t.match(run(process.execPath, [bin, '--help']), /catflap forward/)
    const library = "const m = await import('catflap'); process.stdout.write(typeof m.createForward)"
    t.equal(run(process.execPath, ['--input-type=module', '-e', library], dir), 'function')
  })
})

function npm(args: readonly string[], cwd: string): string {
  const cli = process.env.npm_execpath
  return cli ? run(process.execPath, [cli, ...args], cwd) : run('npm', args, cwd)
}

function run(command: string, args: readonly string[], cwd = ROOT): string {
  const shell = process.platform === 'win32' && command === 'npm'
  const { status, stdout, stderr, error } = spawnSync(command, [...args], { cwd, encoding: 'utf8', shell })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')}: ${error?.message ?? stderr}${stdout}`)
  return stdout
}
