/** Each option of the command arrives where it belongs. */
import t from 'tap'
import yargs from 'yargs'
import { verifyCallOf } from '../../src/cli/verify-args.ts'
import { type VerifyArgs, verifyOptions } from '../../src/cli/verify-options.ts'

const URL = 'http://127.0.0.1:9/mcp'

function callOf(...args: readonly string[]): ReturnType<typeof verifyCallOf> {
  const parser = yargs().parserConfiguration({ 'populate--': true, 'camel-case-expansion': false })
  const parsed = parser
    .command('verify <tapes..>', 'x', builder => verifyOptions(builder))
    .parseSync(['verify', ...args])
  return verifyCallOf(parsed as unknown as VerifyArgs)
}

const ROWS: readonly (readonly [readonly string[], object, ('command' | 'url')?])[] = [
  [[], { timeout: 30_000, noBind: false, allowWrites: false, onlySafe: false, driftOnly: false, failOn: 'any' }],
  [['--allow-writes'], { allowWrites: true }],
  [['--only-safe'], { onlySafe: true }],
  [['--no-bind'], { noBind: true }],
  [['--drift-only'], { driftOnly: true }],
  [['--fail-on', 'breaking'], { failOn: 'breaking' }],
  [['--timeout', '7s'], { timeout: 7_000 }],
  [['--session', 's1', '--session', 's2'], { sessions: ['s1', 's2'] }],
  [['--set', '/params/a=b', '--set', '/params/n:=1'], { set: { '/params/a': 'b', '/params/n': 1 } }],
  [['--token', 'secret1'], { target: { url: URL, headers: ['Authorization', 'Bearer secret1'] } }],
  [['--header', 'X-A: b'], { target: { headers: ['X-A', 'b'] } }],
  [['--header', 'X-A:'], { withoutHeaders: ['X-A'] }],
  [['--upstream-transport', 'sse'], { target: { transport: 'sse' } }],
  [['--upstream-era', 'legacy'], { target: { era: 'legacy' } }],
  [['--insecure'], { target: { insecure: true } }],
  [['--env', 'A=b'], { target: { command: 'node', args: ['x'], env: { A: 'b' } } }, 'command'],
  [['--cwd', '/tmp'], { target: { cwd: '/tmp' } }, 'command']
]

for (const [args, options, kind = 'url'] of ROWS)
  t.test(`verify ${args.join(' ')}`, async t => {
    const server = kind === 'url' ? [URL] : ['--', 'node', 'x']
    const call = callOf(...args, 'a.tape.jsonl', ...server)
    t.same(call.tapes, ['a.tape.jsonl'])
    t.match(call.options, options)
  })

t.test('reporters, tapes and what is no server', async t => {
  t.match(callOf('--reporter', 'junit=r.xml', 'a', 'b', URL), {
    tapes: ['a', 'b'],
    reporters: [{ name: 'text' }, { name: 'junit', file: 'r.xml' }]
  })
  t.throws(() => callOf('a', 'ftp://user:secret@x/y'), { message: /^'ftp:\/\/…' is no server: .*https/ })
})
