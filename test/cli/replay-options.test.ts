/** Every option of `catflap replay` arrives where it belongs. */
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import yargs from 'yargs'
import { OPTIONS } from '../../src/cli/forward-options.ts'
import { replayCallOf } from '../../src/cli/replay.ts'
import { FROM_FORWARD, REPLAY, type ReplayArgs, replayOptions } from '../../src/cli/replay-options.ts'
import type { ForwardOptions } from '../../src/index.ts'
import type { TapeTargetOptions } from '../../src/replay/options.ts'
import { runCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const CA = fileURLToPath(new URL('../fixtures/tls/ca.pem', import.meta.url))
const LIVE = ['--on-miss', 'http://127.0.0.1:1/mcp']

type Arrived = (options: ForwardOptions, target: TapeTargetOptions, args: ReplayArgs) => unknown

/** What is given besides a tape, where that arrives, and as what. */
const TABLE: Readonly<Record<string, readonly [given: readonly string[], arrived: Arrived, value: unknown]>> = {
  match: [['strict'], (_, target) => target.match, 'strict'],
  repeat: [['cycle'], (_, target) => target.repeat, 'cycle'],
  rules: [['my.yaml'], (_, target) => target.rules, 'my.yaml'],
  'on-miss': [
    ['record:http://127.0.0.1:1/mcp'],
    (_, { onMiss }) => onMiss,
    { url: 'http://127.0.0.1:1/mcp', record: true }
  ],
  'on-divergence': [['error'], (_, target) => target.onDivergence, 'error'],
  speed: [['2x'], (_, target) => target.speed, 2],
  fault: [
    ['drop:0.5', '--fault', 'tools/call=delay:200ms'],
    (_, target) => target.faults,
    [
      { kind: 'drop', share: 0.5 },
      { kind: 'delay', share: 1, ms: 200, method: 'tools/call' }
    ]
  ],
  seed: [['7'], (_, target) => target.seed, 7],
  'strict-unused': [[], (_options, _target, args) => args['strict-unused'], true],
  listen: [['127.0.0.1:8123'], ({ listen }) => listen, { host: '127.0.0.1', port: 8123, path: '/mcp' }],
  stdio: [[], ({ listen }) => listen !== undefined && 'input' in listen, true],
  path: [['/other'], ({ listen }) => (listen as { path?: string }).path, '/other'],
  via: [['front'], ({ via }) => via, 'front'],
  token: [['hush-hush'], ({ tokens }) => tokens, ['hush-hush']],
  'allow-unauthenticated': [[], options => options.allowUnauthenticated, true],
  'allow-host': [['a.example'], options => options.allowHosts, ['a.example']],
  'allow-origin': [['https://a.example'], options => options.allowOrigins, ['https://a.example']],
  record: [['b.tape.jsonl'], ({ record }) => record?.path, 'b.tape.jsonl'],
  'record-overflow': [['drop', '--record', 'b'], ({ record }) => record?.overflow, 'drop'],
  'record-max-message': [['2048', '--record', 'b'], ({ record }) => record?.maxMessage, 2048],
  metrics: [['9999'], ({ metrics }) => metrics, { host: '127.0.0.1', port: 9999 }],
  'metrics-max-names': [['5', '--metrics', '0'], ({ metrics }) => metrics, { maxNames: 5 }],
  admin: [['9998'], ({ admin }) => admin, { host: '127.0.0.1', port: 9998 }],
  header: [['X-A: b', ...LIVE], (_, { onMiss }) => onMiss, { headers: ['X-A', 'b'] }],
  ca: [[CA, ...LIVE], (_, { onMiss }) => onMiss, { ca: /BEGIN CERTIFICATE/ }],
  insecure: [[...LIVE], (_, { onMiss }) => onMiss, { insecure: true }]
}

/** Of any proxy, whatever it leads to. */
const ELSEWHERE = ['redact-header', 'redact-json', 'tail', 'log-level', 'log-format']

const parsed = (...words: string[]): ReplayArgs =>
  replayOptions(
    yargs([...words, '--', 'a.tape.jsonl']).parserConfiguration({ 'parse-numbers': false })
  ).parseSync() as unknown as ReplayArgs

t.test('each option arrives', async t => {
  t.same([...Object.keys(TABLE), ...ELSEWHERE].sort(), [...Object.keys(REPLAY), ...FROM_FORWARD].sort())
  for (const [name, [given, arrived, value]] of Object.entries(TABLE)) {
    const args = { ...parsed(`--${name}`, ...given), tapes: ['a.tape.jsonl'] }
    const { options } = replayCallOf(args)
    const target = options.target as TapeTargetOptions
    t.same(target.tape, ['a.tape.jsonl'], name)
    t.match(arrived(options, target, args), value, name)
    const plain = { ...parsed(), tapes: ['a.tape.jsonl'] }
    const usual = replayCallOf(plain).options
    t.notMatch(arrived(usual, usual.target as TapeTargetOptions, plain), value, `${name} is not so by itself`)
  }
  t.ok(ELSEWHERE.every(name => name in OPTIONS))
})

t.test('a delay that nobody waits for is wrong usage', async t => {
  trackLeaks(t)
  const file = path.join(t.testdir(), 'a.tape.jsonl')
  const run = runCatflap(['replay', '--fault', 'delay:999999999h', file], { json: false })
  t.match(await run.exit, { code: 2 })
  t.match(run.stderr.items[0], /--fault 'delay:999999999h': a delay is at most 596h/)
})
