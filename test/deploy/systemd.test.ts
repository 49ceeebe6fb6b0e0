import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { parseDuration } from '../../src/proxy/options.ts'
import { skipWithout } from '../helpers/require.ts'
import { type Config, checkConfig, read, skipWithoutCommand, stopTime, tempFolder, yaml } from './example.ts'

const unit = read('systemd/catflap.service')
const config = yaml('systemd/catflap.yaml') as Config

/** The last value of a setting, as systemd takes it. */
const setting = (name: string): string | undefined => [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].at(-1)?.[1]

t.test('each line is a section, a setting or a comment, and none stands there twice', async t => {
  const seen = new Set<string>()
  for (const line of unit.split('\n')) {
    if (/^$|^#|^\[(?:Unit|Service|Install)\]$/.test(line)) continue
    const [, name] = /^([A-Z][A-Za-z]+)=/.exec(line) ?? []
    t.ok(name && !seen.has(name), line)
    seen.add(name ?? '')
  }
})

t.test('it runs without rights, and waits for catflap to stop', async t => {
  t.equal(setting('DynamicUser'), 'yes')
  t.equal(setting('ProtectSystem'), 'strict')
  t.equal(setting('NoNewPrivileges'), 'yes')
  t.equal(setting('CapabilityBoundingSet'), '')
  t.equal(setting('KillMode'), 'mixed')
  t.equal(setting('MemoryDenyWriteExecute'), undefined, "Node's compiler needs it")
  t.ok(parseDuration(setting('TimeoutStopSec')!) > stopTime(config))
})

t.test('the paths of the file are those of the unit', async t => {
  t.match(setting('ExecStart'), / reverse --config \/etc\/catflap\/catflap\.yaml$/)
  const [credential] = setting('LoadCredential')!.split(':')
  t.same(config.routes.everything?.tokens, [`file:/run/credentials/catflap.service/${credential}`])
  const { env } = config.routes.everything as unknown as { env: Record<string, string> }
  for (const folder of Object.values(env)) t.ok(folder.startsWith(`/var/lib/${setting('StateDirectory')}/`))
})

t.test('systemd finds nothing wrong with it', { skip: skipWithout('systemd-analyze') }, async t => {
  const file = path.join(tempFolder(t), 'catflap.service')
  // Which does not have to be installed here.
  writeFileSync(file, unit.replace('/usr/bin/catflap', process.execPath))
  const { status, stdout, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', file], { encoding: 'utf8' })
  t.equal(
    `${stdout}${stderr}`
      .split('\n')
      .filter(line => line.includes('catflap'))
      .join('\n'),
    ''
  )
  t.equal(status, 0, stderr)
})

t.test('what it leaves open is little', { skip: skipWithout('systemd-analyze') }, async t => {
  const file = path.join(tempFolder(t), 'catflap.service')
  writeFileSync(file, unit)
  const args = ['security', '--offline=yes', '--threshold=25', '--no-pager', file]
  const { status, stdout, stderr } = spawnSync('systemd-analyze', args, { encoding: 'utf8' })
  if (/unrecognized option|Unknown/.test(stderr)) return t.pass('this systemd cannot say')
  t.equal(status, 0, stdout.split('\n').slice(-3).join('\n') + stderr)
})

t.test('the file is one that catflap takes', { skip: skipWithoutCommand('config') }, t =>
  checkConfig(t, read('systemd/catflap.yaml'))
)
