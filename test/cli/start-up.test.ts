import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { commandLine } from '../../src/cli/command-line.ts'
import { type ForwardArgs, OPTIONS, optionName } from '../../src/cli/forward-options.ts'
import { plainForwardArgs } from '../../src/cli/plain-args.ts'
import { SETTINGS } from '../../src/proxy/options.ts'

const URL_TARGET = 'http://127.0.0.1:1/mcp'
const NAMES = [...Object.keys(OPTIONS), ...Object.keys(SETTINGS).map(optionName)]

/** What yargs makes of it, under the names that are asked for. */
async function byYargs(words: readonly string[]): Promise<Record<string, unknown>> {
  let got: ForwardArgs | undefined
  await commandLine(words, async args => {
    got = args
  })
  return known(got!)
}

function known(args: object): Record<string, unknown> {
  const names = new Set(['url', '--', ...NAMES])
  // yargs has a member for some of what was not given.
  return Object.fromEntries(Object.entries(args).filter(([name, value]) => names.has(name) && value !== undefined))
}

const PLAIN: readonly (readonly string[])[] = [
  ['forward', URL_TARGET],
  ['forward', URL_TARGET, '--'],
  ['forward', '--listen', '127.0.0.1:0', URL_TARGET],
  ['forward', '--listen=8080', URL_TARGET, '--log-format', 'json'],
  ['forward', '--record', './tapes/', '--record-overflow', 'drop', URL_TARGET],
  ['forward', URL_TARGET, '--header', 'A: b', '--header', 'C: d e', '--no-tail', '--insecure'],
  ['forward', '--stdio', '--env', 'A=b', '--', 'node', '--inspect', '--', 'server.js', '--help'],
  ['forward', '--metrics', '0', '--max-sessions', '010', '--request-timeout=1e3', URL_TARGET]
]

t.test('a plain command line is understood without yargs, and alike', async t => {
  for (const words of PLAIN) {
    const plain = plainForwardArgs(words)
    t.ok(plain, words.join(' '))
    t.same(known(plain!), await byYargs(words), words.join(' '))
  }
})

t.test('what is not plain is left to yargs', async t => {
  for (const words of [
    [],
    ['--help'],
    ['tail'],
    ['forward', '--help'],
    ['forward', 'help'],
    ['forward', '--tail', 'help'],
    ['forward', '-h'],
    ['forward', '--version'],
    ['forward', '--nope', URL_TARGET],
    ['forward', '--listen'],
    ['forward', '--listen', '--stdio', URL_TARGET],
    ['forward', '--logLevel', 'debug', URL_TARGET],
    ['forward', '--log-level', 'loud', URL_TARGET],
    ['forward', '--path', '/a', '--path', '/b', URL_TARGET],
    ['forward', '--path', "'/a'", URL_TARGET],
    ['forward', '--stdio', 'false', URL_TARGET],
    ['forward', '--no-via', URL_TARGET],
    ['forward', URL_TARGET, 'b'],
    ['forward', '']
  ])
    t.equal(plainForwardArgs(words), undefined, words.join(' '))
})

t.test('whatever is found plain, yargs understands alike', async t => {
  // Wrong usage would end this process.
  t.intercept(process, 'exit', {
    value: () => {
      throw new Error('yargs refused it')
    }
  })
  const value = fc.oneof(
    fc.constantFrom(
      'a',
      '0',
      '1e3',
      '0x10',
      'true',
      'false',
      'null',
      'a=b',
      'A: b',
      ' ',
      'x"y',
      '"q"',
      '',
      '-',
      '.',
      '{}'
    ),
    fc.constantFrom('auto', 'sse', 'modern', 'json', 'debug', 'drop', 'forward', '$0', 'a,b', '[::1]:0', '1\n2'),
    fc.string({ maxLength: 6 })
  )
  const name = fc.oneof(
    fc.constantFrom(...NAMES),
    fc.constantFrom('url', 'no-tail', 'no-insecure', '_', 'toString', 'constructor', 'proto', 'settings')
  )
  const part = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(name, value).map(([n, v]) => [`--${n}`, v]) },
    { weight: 2, arbitrary: fc.tuple(name, value).map(([n, v]) => [`--${n}=${v}`]) },
    { weight: 2, arbitrary: name.map(n => [`--${n}`]) },
    value.map(v => [v]),
    fc.constant(['--'])
  )
  let plain = 0
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 4 }), async parts => {
      const words = ['forward', ...parts.flat()]
      const args = plainForwardArgs(words)
      if (!args) return
      plain++
      t.same(known(args), await byYargs(words), JSON.stringify(words))
    }),
    { numRuns: 500 }
  )
  t.ok(plain > 25, `${plain} were plain`)
})

/** Everything that is loaded until clients can connect; Node's own as `NativeModule …`. */
async function loadedBy(...args: readonly string[]): Promise<readonly string[]> {
  const program = `
    import { registerHooks } from 'node:module'
    const loaded = []
    registerHooks({ load: (url, context, next) => (loaded.push(url), next(url, context)) })
    const write = process.stdout.write
    process.stdout.write = text => {
      if (!text.includes('listening on')) return true
      write.call(process.stdout, JSON.stringify([...loaded, ...process.moduleLoadList]))
      process.kill(process.pid, 'SIGTERM')
      return true
    }
    const { main } = await import(${JSON.stringify(new URL('../../src/cli/main.ts', import.meta.url))})
    await main(${JSON.stringify(args)})`
  const options = ['--no-warnings', '--input-type=module', '-e', program]
  const { stdout } = await promisify(execFile)(process.execPath, options, { timeout: 20_000 })
  return JSON.parse(stdout) as string[]
}

t.test('a start loads what the configuration needs, and no more', async t => {
  const listening = ['forward', '--listen', '127.0.0.1:0', '--no-tail']
  const url = await loadedBy(...listening, URL_TARGET)
  const has = (what: RegExp): boolean => url.some(name => what.test(name))
  t.ok(has(/undici\/lib\/dispatcher\/pool\.js/))
  for (const what of [
    /node_modules\/yargs/,
    /undici\/index\.js/,
    /cross-spawn/,
    /opentelemetry/,
    /src\/metrics\//,
    /tape\/recorder/,
    /tape\/live/,
    /shared-child\.ts/,
    /serve-stdio/,
    /NativeModule internal\/deps\/undici\/undici/,
    /downstream\/(?:http2|tls-door|first-bytes|allowance)/
  ])
    t.notOk(has(what), String(what))
  const command = await loadedBy(...listening, '--', 'node')
  for (const what of [/node_modules\/undici/, /NativeModule (?:internal\/)?http2/, /NativeModule tls/])
    t.notOk(
      command.some(name => what.test(name)),
      String(what)
    )
})
