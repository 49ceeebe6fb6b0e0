/** Wrong usage: exit code 2, and a message that names the option, the value and the right form. */
import t from 'tap'
import { runCatflap } from '../helpers/catflap.ts'
import { trackLeaks } from '../helpers/leaks.ts'

const URL_TARGET = 'http://127.0.0.1:9/mcp'
const COMMAND = ['--', 'node', 'server.js']

const WRONG: [what: string, args: readonly string[], message: RegExp][] = [
  ['no command', [], /Name a command/],
  [
    'an unknown command',
    ['fro'],
    /'fro' is no command; there are forward, reverse, replay, verify, config, tape and tail/
  ],
  [
    'an unknown command for tapes',
    ['tape', 'foo'],
    /'catflap tape foo' is no command; there are tape ls, show, .*redact/
  ],
  ['an unknown command for files', ['config', 'foo'], /'catflap config foo' is no command; there are config check/],
  [
    'a pointer that is none',
    ['tape', 'redact', 'a.tape.jsonl', '-o', 'b.tape.jsonl', '--redact-json', 'foo'],
    /--redact-json: 'foo' is no JSON pointer.*write it like \/params/
  ],
  ['no target', ['forward'], /no server given: 'catflap forward <url>' or 'catflap forward -- <command>/],
  ['both targets', ['forward', URL_TARGET, ...COMMAND], /URL or a command, not both: 'http:.*' and 'node'/],
  [
    'a target that is no URL',
    ['forward', 'server.js'],
    /'server\.js' is no http or https URL; a command goes after --/
  ],
  ['another scheme', ['forward', 'ftp://x/'], /'ftp:\/\/x\/' is no http or https URL/],
  ['no way to lose a session', ['forward', '--session-loss', 'ignore', URL_TARGET], /--session-loss/],
  ['an unknown option', ['forward', '--lissen', '1', URL_TARGET], /--lissen: no such option/],
  [
    'a command without --',
    ['forward', 'npx', 'foo'],
    /'foo' is one argument too many.*after --: catflap forward -- COMMAND/
  ],
  [
    'a choice that is none',
    ['forward', '--log-level', 'loud', URL_TARGET],
    /--log-level loud: give one of debug, info/
  ],
  ['no origin', ['forward', '--allow-origin', 'foo', URL_TARGET], /--allow-origin 'foo'.*https:\/\/app\.example/],
  ['no host', ['forward', '--allow-host', 'http://foo/', URL_TARGET], /--allow-host 'http:\/\/foo\/'.*host name/],
  [
    'no certificate',
    ['forward', '--ca', process.execPath.replace(/[^/\\]*$/, 'none'), URL_TARGET],
    /--ca .*cannot be read/
  ],
  ['no PEM', ['forward', '--ca', new URL(import.meta.url).pathname, URL_TARGET], /--ca .*BEGIN CERTIFICATE/],
  ['no process id', ['tail', '--pid', 'foo'], /--pid foo is no process id/],
  ['no tape', ['tape', 'show'], /'catflap tape show' needs one more argument/],
  ['an option without its value', ['forward', URL_TARGET, '--listen'], /--listen needs a value/],
  ['no address', ['forward', '--listen', 'here', URL_TARGET], /--listen 'here' is no address; write --listen 7890/],
  ['no port', ['forward', '--listen', '127.0.0.1:99999', URL_TARGET], /--listen '127\.0\.0\.1:99999'/],
  [
    'beyond loopback',
    ['forward', '--listen', '0.0.0.0:0', URL_TARGET],
    /--listen 0\.0\.0\.0:.*--token.*CATFLAP_TOKEN.*--allow-unauthenticated/
  ],
  ['beyond loopback by name', ['forward', '--listen', '[::]:0', ...COMMAND], /--listen ::.*--token/],
  [
    'a revision that the transport does not have',
    ['forward', '--upstream-era', 'modern', '--upstream-transport', 'sse', URL_TARGET],
    /--upstream-transport sse and --upstream-era modern exclude each other/
  ],
  [
    'a path of HTTP+SSE',
    ['forward', '--path', '/sse', ...COMMAND],
    /--path '\/sse': clients of HTTP\+SSE.*write --path \/mcp/
  ],
  ['the other path of HTTP+SSE', ['forward', '--path', '/a/messages', URL_TARGET], /--path '\/a\/messages'/],
  ['two ways to serve', ['forward', '--stdio', '--listen', '1', ...COMMAND], /--listen and --stdio exclude each other/],
  ['a header for a command', ['forward', '--header', 'A: b', ...COMMAND], /--header goes with a URL.*--env/],
  [
    'no header',
    ['forward', '--header', 'nonsense', URL_TARGET],
    /--header 'nonsense…' is no header; write --header 'Name: value'/
  ],
  ['an environment for a URL', ['forward', '--env', 'A=b', URL_TARGET], /--env and --cwd go with a command.*--header/],
  ['a folder for a URL', ['forward', '--cwd', '/', URL_TARGET], /--cwd/],
  [
    'no value in the environment',
    ['forward', '--env', 'A', ...COMMAND],
    /--env 'A' has no value; write --env NAME=value/
  ],
  [
    'no duration',
    ['forward', '--request-timeout', 'soon', ...COMMAND],
    /--request-timeout soon:.*write 250ms, 30s, 5m or 2h/
  ],
  ['too long a duration', ['forward', '--session-idle', '9999h', ...COMMAND], /session-?idle/i],
  ['no size', ['forward', '--max-body', 'huge', ...COMMAND], /--max-body huge:.*write 4096, 64k, 16M or 1G/],
  ['no number', ['forward', '--max-sessions', 'many', ...COMMAND], /--max-sessions many: 'many' is no whole number/],
  ['nothing at all', ['forward', '--max-sessions', '0', ...COMMAND], /--max-sessions 0: 0 is not allowed/],
  [
    'a size beyond all',
    ['forward', '--max-body', '99999999999G', ...COMMAND],
    /--max-body 99999999999G: that is too much/
  ],
  [
    'beyond loopback, under a name that looks like it',
    ['forward', '--listen', '127.evil.com:0', URL_TARGET],
    /--listen 127\.evil\.com:.*--token/
  ],
  [
    'no pointer',
    ['forward', '--redact-json', 'bad', URL_TARGET],
    /--redact-json: 'bad' is no JSON pointer.*write it like \/params/
  ],
  ['a password that cannot be read', ['forward', 'http://u:p%zz@127.0.0.1:9/'], /password holds a %.*write it as %25/],
  [
    'two paths',
    ['forward', '--path', '/a', '--path', '/b', URL_TARGET],
    /--path is given more than once; give it once/
  ],
  ['two tapes', ['forward', '--record', 'a', '--record', 'b', URL_TARGET], /--record is given more than once/],
  ['two folders', ['forward', '--cwd', '/', '--cwd', '/', ...COMMAND], /--cwd is given more than once/],
  ['two limits', ['forward', '--max-body', '1', '--max-body', '2', ...COMMAND], /--max-body is given more than once/],
  ['two patterns', ['tail', '--grep', 'a', '--grep', 'b'], /--grep is given more than once/],
  ['no path', ['forward', '--path', 'mcp', ...COMMAND], /--path 'mcp' is no path; write --path \/mcp/],
  ['a token that is empty', ['forward', '--token', '', ...COMMAND], /--token '' is empty/],
  ['no log level', ['forward', '--log-level', 'loud', ...COMMAND], /log-level.*loud|loud.*log-level/is],
  [
    'a file that cannot be read',
    ['forward', '--ca', '/no/such/file', URL_TARGET],
    /--ca \/no\/such\/file cannot be read/
  ]
]

const TAPE = ['ls', 'show', 'validate', 'stats', 'diff', 'cut', 'redact']
const HELP = [[], ['forward'], ['replay'], ['verify'], ['tail'], ['tape'], ...TAPE.map(name => ['tape', name])]

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

async function ended(args: readonly string[]): Promise<Ended> {
  const { exit, stdout, stderr } = runCatflap(args, { json: false })
  const { code } = await exit
  return { code, stdout: stdout.items.join('\n'), stderr: stderr.items.join('\n') }
}

/** Each run takes half a second to start, so some run at a time. */
async function runs(all: readonly (readonly string[])[]): Promise<Ended[]> {
  const results: Ended[] = []
  for (let at = 0; at < all.length; at += AT_ONCE)
    results.push(...(await Promise.all(all.slice(at, at + AT_ONCE).map(ended))))
  return results
}

const AT_ONCE = 6

t.test('wrong usage: exit code 2, the option and its right form on stderr, nothing on stdout', async t => {
  trackLeaks(t)
  for (const [i, { code, stdout, stderr }] of (await runs(WRONG.map(([, args]) => args))).entries()) {
    const [what, , message] = WRONG[i]!
    t.equal(code, 2, what)
    t.match(stderr, message, what)
    t.match(stderr, /^catflap: .*\nSee 'catflap --help'/s, what)
    t.equal(stdout, '', what)
  }
})

t.test('help for every command, with an example', async t => {
  trackLeaks(t)
  for (const [i, { code, stdout, stderr }] of (await runs(HELP.map(command => [...command, '--help']))).entries()) {
    const name = ['catflap', ...HELP[i]!].join(' ')
    t.equal(code, 0, name)
    t.match(stdout, name)
    t.match(stdout, /\nExamples:\n {2}catflap /, name)
    t.equal(stderr, '', name)
  }
})

t.test('--version is the version of the package', async t => {
  trackLeaks(t)
  const catflap = runCatflap(['--version'], { json: false })
  t.same(await catflap.exit, { code: 0, signal: null })
  t.match(catflap.stdout.items, [/^\d+\.\d+\.\d+/])
})
