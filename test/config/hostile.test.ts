// biome-ignore-all lint/suspicious/noTemplateCurlyInString: references of configuration files look like that
/** Whatever a file holds: it is read or refused, soon, and never with an exception. */
import fc from 'fast-check'
import t from 'tap'
import { stringify } from 'yaml'
import { MAX_FILE } from '../../src/config/files.ts'
import { read, refused } from './fixtures.ts'

/** Generous, for machines that do other things meanwhile: it takes about a second at most. */
const PATIENCE_MS = 10_000

async function reads(text: string): Promise<boolean> {
  const startedAt = performance.now()
  const { configuration, problems } = await read(text)
  const fine = (configuration === undefined) === problems.length > 0
  return fine && performance.now() - startedAt < PATIENCE_MS
}

const keys = fc.constantFrom(
  ...['listeners', 'address', 'tls', 'certificate', 'key', 'routes', 'a', 'target', 'targets', 'url', 'command', 'env'],
  ...[
    'headers',
    'request',
    'set',
    'health',
    'check',
    'kind',
    'settings',
    'maxBody',
    'requestTimeout',
    'defaults',
    'tokens'
  ],
  ...[
    'record',
    'path',
    'admin',
    'metrics',
    'log',
    'level',
    'via',
    'accessLog',
    '__proto__',
    'constructor',
    'toString',
    '<<',
    ''
  ]
)
const scalars = fc.oneof(
  fc.constantFrom(
    'http://a/mcp',
    '127.0.0.1:0',
    '0.0.0.0:80',
    '30s',
    '16M',
    '/mcp',
    'file:x',
    '${X}',
    '${',
    '*',
    '-1',
    'http'
  ),
  fc.string(),
  fc.double(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null)
)
const { value } = fc.letrec<{ value: unknown }>(tie => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalars,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.array(fc.tuple(keys, tie('value')), { maxLength: 6 }).map(entries => Object.fromEntries(entries))
  )
}))

t.test('values of all kinds, as JSON and as YAML', async () => {
  await fc.assert(
    fc.asyncProperty(value, async one => (await reads(JSON.stringify(one))) && (await reads(stringify(one)))),
    { numRuns: 300 }
  )
})

t.test('text of all kinds', async () => {
  const words = fc.constantFrom(
    ...[
      'routes',
      ': ',
      ':',
      '- ',
      '\n',
      '\n  ',
      '  ',
      '[',
      ']',
      '{',
      '}',
      ', ',
      '"',
      "'",
      '#',
      '&a ',
      '*a',
      '!!str ',
      '!x '
    ],
    ...[
      '|',
      '>',
      '?',
      '%YAML 1.1',
      '---',
      '...',
      '\t',
      '\r',
      'a',
      '1',
      '~',
      '\\',
      '\u0000',
      '\ufeff',
      '\ud800',
      '<<',
      '@',
      '`'
    ]
  )
  await fc.assert(
    fc.asyncProperty(fc.array(words, { maxLength: 60 }), async parts => await reads(parts.join(''))),
    { numRuns: 500 }
  )
  await fc.assert(fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 200 }), reads), { numRuns: 300 })
})

t.test('names that stand for each other, a thousand million times', async t => {
  const levels = Array.from({ length: 10 }, (_, i) => `l${i + 1}: &l${i + 1} [${Array(10).fill(`*l${i}`).join(', ')}]`)
  const startedAt = performance.now()
  const found = await refused(`l0: &l0 [lol]\n${levels.join('\n')}\n`)
  t.ok(performance.now() - startedAt < PATIENCE_MS)
  t.match(found.join('\n'), /the file holds too many values \(more than 20000, aliases counted\)/)
})

const LARGE: Record<string, string> = {
  'brackets in brackets': '['.repeat(MAX_FILE - 1),
  'braces in braces': '{a: '.repeat(MAX_FILE / 4 - 1),
  'brackets that end': `${'['.repeat(MAX_FILE / 2 - 1)}${']'.repeat(MAX_FILE / 2 - 1)}`,
  'lists in lists': '- '.repeat(MAX_FILE / 2 - 1),
  'keys in keys': Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
  'questions in questions': '? '.repeat(MAX_FILE / 2 - 1),
  'many keys': Array.from({ length: 80_000 }, (_, i) => `k${i}: 1`).join('\n'),
  'many routes': `routes:\n${Array.from({ length: 20_000 }, (_, i) => `  r${i}: { target: http://a/ }`).join('\n')}`,
  'many values': `routes: [${'1,'.repeat(MAX_FILE / 2 - 10)}]`,
  'many aliases': `a: &a x\nb: [${'*a,'.repeat(300_000)}]`,
  'many anchors': Array.from({ length: 60_000 }, (_, i) => `- &a${i} x`).join('\n'),
  'one long text': `routes: "${'x'.repeat(MAX_FILE - 20)}"`,
  'one long key': `${'x'.repeat(MAX_FILE - 20)}: 1`,
  'many quotes': '"'.repeat(MAX_FILE - 1),
  'many references': `routes: { a: { command: ["${'${A}'.repeat(200_000)}"] } }`,
  'many line breaks': '\n'.repeat(MAX_FILE - 1),
  'many comments': '#\n'.repeat(MAX_FILE / 2 - 1),
  'one long block': `routes: |\n${'  x\n'.repeat(250_000)}`,
  'many tags': '- !x y\n'.repeat(100_000),
  'fewer lists in lists': '- '.repeat(49_000),
  'fewer questions in questions': '? '.repeat(49_000),
  'fewer keys': Array.from({ length: 14_000 }, (_, i) => `k${i}: 1`).join('\n'),
  'fewer values': `routes: [${'1,'.repeat(33_000)}]`,
  'fewer quotes': '"'.repeat(199_000),
  'fewer line breaks': '\n'.repeat(99_000),
  'fewer tags': '- !x y\n'.repeat(14_000),
  'fewer routes': `routes:\n${Array.from({ length: 5500 }, (_, i) => `  r${i}: { target: http://a/ }`).join('\n')}`,
  'fewer mistakes': `routes:\n${Array.from({ length: 5500 }, (_, i) => `  R${i}: { x: 1 }`).join('\n')}`,
  'many documents': '---\n'.repeat(MAX_FILE / 4 - 1)
}

for (const [what, text] of Object.entries(LARGE)) {
  t.test(`${what} are read or refused soon`, async t => {
    t.ok(Buffer.byteLength(text) <= MAX_FILE)
    const startedAt = performance.now()
    const { problems, left } = await read(text, { env: { A: 'x'.repeat(1000) } })
    t.ok(performance.now() - startedAt < PATIENCE_MS, `${Math.round(performance.now() - startedAt)} ms`)
    t.ok(problems.length <= 100)
    t.ok(left >= 0)
  })
}

t.test('a file that is too large is not even looked at', async t => {
  t.match(await refused(`#${'x'.repeat(MAX_FILE)}`), [/^1:1: the file is larger than 1 MiB$/])
})
