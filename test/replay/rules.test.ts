// biome-ignore-all lint/suspicious/noTemplateCurlyInString: configuration files refer to variables so; files of rules do not
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import t from 'tap'
import {
  DEFAULT_RULES,
  parseRules,
  type Rules,
  RulesError,
  readRules,
  rulesBeside,
  rulesFileOf
} from '../../src/replay/rules.ts'
import { rulesSchema } from '../../src/replay/rules-shape.ts'
import { withRules, writeRules } from '../../src/replay/rules-writer.ts'
import { folderOf } from '../config/fixtures.ts'

const WHOLE = `
version: 1
defaults: false
requests:
  - method: tools/call
    name: search*
    ignore: [/arguments/requestId, /arguments/*/nonce]
    where:
      /arguments/path: /tmp/*
      /arguments/run: { regex: 'run-\\d+' }
answers:
  - ignore: [/result/_meta]
  - name: x
    patterns: { /result/content/*/text: [time, { regex: 'a*' }], /params/progress: number }
    unordered: [/result/tools]
`

t.test('a whole file', async t => {
  t.same(parseRules(WHOLE, 'a.yaml'), {
    defaults: false,
    requests: [
      {
        method: 'tools/call',
        name: 'search*',
        ignore: ['/arguments/requestId', '/arguments/*/nonce'],
        where: { '/arguments/path': '/tmp/*', '/arguments/run': { regex: 'run-\\d+' } }
      }
    ],
    answers: [
      { ignore: ['/result/_meta'] },
      {
        name: 'x',
        patterns: { '/result/content/*/text': ['time', { regex: 'a*' }], '/params/progress': 'number' },
        unordered: ['/result/tools']
      }
    ]
  })
  t.same(parseRules('version: 1', 'a.yaml'), DEFAULT_RULES)
})

t.test('what is wrong is said with its place and what is allowed', async t => {
  for (const [text, ...wrong] of [
    ['requests: []', /^a\.yaml:1:1: version is missing/],
    ['version: 2', /:1:10: version: '2' is not allowed; give 1 \(/],
    ['version: 1\nrequest: []', /:2:1: request: no such key; did you mean 'requests'/],
    ['version: 1\nrequests: [{ tool: x, ignore: [/a] }]', /requests\[0\]\.tool: no such key; did you mean 'name'/],
    ['version: 1\nrequests: [{ method: x }]', /requests\[0\]: says nothing; give one of ignore, where/],
    ['version: 1\nrequests: [{ ignore: [a] }]', /requests\[0\]\.ignore\[0\]: 'a' is not allowed; give a JSON pointer/],
    ['version: 1\nrequests: [{ ignore: [/a~2] }]', /'\/a~2' is not allowed/],
    ['version: 1\nrequests: [{ where: { a: x } }]', /where\.a: is no name that can stand here; give a JSON pointer/],
    [
      "version: 1\nrequests: [{ where: { /a: { regex: '(?=x)' } } }]",
      /:2:.*regex: looks ahead.*; give a regular expression of at most 500/
    ],
    ["version: 1\nrequests: [{ where: { /a: { regex: '(' } } }]", /no regular expression/],
    ['version: 1\nanswers: [{ ignore: [/content] }]', /begins with \/result, \/error or/],
    [
      'version: 1\nanswers: [{ patterns: { /result: date } }]',
      /'date' is not allowed; give one of time, uuid, port, path, number/
    ],
    ['version: 1\ndefaults: maybe', /'maybe' is not allowed; give true or false/],
    ['version: 1\nversion: 1', /given twice/],
    ['[]', /is a list; give an object/],
    ['{', /:1:/],
    ['', /is empty/]
  ] as const)
    for (const one of wrong) t.throws(() => parseRules(text, 'a.yaml'), { message: one, code: 'rules_invalid' }, text)
})

t.test('no text of the file names variables or files', async t => {
  process.env.CATFLAP_TEST_RULE = 'secret'
  t.teardown(() => delete process.env.CATFLAP_TEST_RULE)
  const text = 'version: 1\nrequests: [{ name: "${CATFLAP_TEST_RULE}", where: { /a: "file:/etc/passwd" } }]'
  t.same(parseRules(text, 'a.yaml').requests, [{ name: '${CATFLAP_TEST_RULE}', where: { '/a': 'file:/etc/passwd' } }])
})

t.test('names like __proto__ are names', async t => {
  const { requests } = parseRules('version: 1\nrequests: [{ where: { /__proto__: x } }]', 'a.yaml')
  t.same(Object.keys(requests[0]!.where!), ['/__proto__'])
  t.throws(() => parseRules('version: 1\n__proto__: x', 'a.yaml'), /no such key/)
})

t.test('hostile files are refused at once', async t => {
  for (const text of [
    '['.repeat(100_000),
    `a: &a [${'*a,'.repeat(1000)}]`,
    `version: 1\nx: ${'"y" '.repeat(200_000)}`,
    '"\\e[31m": 1'
  ]) {
    const error = refusalOf(text)
    t.equal(error.code, 'rules_invalid')
    t.notMatch(error.message, /[\u0000-\u0009\u000b-\u001f]/)
  }
})

function refusalOf(text: string): RulesError {
  try {
    parseRules(text, 'a.yaml')
  } catch (error) {
    if (error instanceof RulesError) return error
  }
  throw new Error('not refused')
}

t.test('beside the tape', async t => {
  t.equal(rulesFileOf('/x/a.tape.jsonl'), '/x/a.tape.rules.yaml')
  t.equal(rulesFileOf('a'), 'a.rules.yaml')
  const dir = folderOf(t, { 'a.tape.rules.yaml': 'version: 1\ndefaults: false\n' })
  t.equal((await rulesBeside(path.join(dir, 'a.tape.jsonl'))).defaults, false)
  t.same(await rulesBeside(path.join(dir, 'b.tape.jsonl')), DEFAULT_RULES)
  await t.rejects(readRules(path.join(dir, 'none.yaml')), { code: 'rules_unreadable', message: /there is none/ })
  await t.rejects(readRules(dir), { code: 'rules_unreadable', message: /it is (no file|a folder)/ })
})

t.test('editors know the same', async t => {
  const validate = new Ajv2020({ strict: false, formats: { regex: true } }).compile(rulesSchema())
  const { parse } = await import('yaml')
  t.ok(validate(parse(WHOLE)), JSON.stringify(validate.errors))
  for (const wrong of [
    'version: 2',
    '{}',
    'version: 1\nx: 1',
    'version: 1\nrequests: [{ ignore: [a] }]',
    'version: 1\nanswers: [{ patterns: { /a: time } }]'
  ])
    t.notOk(validate(parse(wrong)), wrong)
})

const LEARNED: Rules = {
  defaults: true,
  requests: [],
  answers: [
    { method: 'tools/call', name: 'now', patterns: { '/result/content/*/text': ['time'] }, ignore: ['/result/took'] },
    { method: 'tools/call', name: 'now', patterns: { '/result/content/*/text': ['time', 'uuid'] } },
    { method: 'tools/list', unordered: ['/result/tools'] }
  ]
}

t.test('a new file, with comments for those who review it', async t => {
  const text = withRules(undefined, LEARNED, { file: 'a.yaml', commentOf: (_, pointer) => `saw\n${pointer}` })
  t.equal(
    text,
    `# What does not count when requests are looked for on the tape, and when answers are compared with it.

version: 1
answers:
  - method: tools/call
    name: now
    ignore:
      - /result/took # saw\\n/result/took
    patterns:
      /result/content/*/text: [ time, uuid ] # saw\\n/result/content/*/text
  - method: tools/list
    unordered:
      - /result/tools # saw\\n/result/tools
`
  )
  t.same(parseRules(text, 'a.yaml').answers.length, 2)
})

t.test('what stands in a file stays, and is not added again', async t => {
  const before = `# ours
version: 1 # first
requests:
  # a reason
  - method: tools/call
    ignore: [/arguments/id] # why
answers:
  - method: tools/call
    name: now
    patterns:
      /result/content/*/text: time # a clock
`
  const after = withRules(before, LEARNED, { file: 'a.yaml' })
  for (const kept of ['# ours', 'version: 1 # first', '# a reason', '# why', '# a clock'])
    t.ok(after.includes(kept), kept)
  const { answers, requests } = parseRules(after, 'a.yaml')
  t.same(requests, [{ method: 'tools/call', ignore: ['/arguments/id'] }])
  t.same(answers, [
    {
      method: 'tools/call',
      name: 'now',
      patterns: { '/result/content/*/text': ['time', 'uuid'] },
      ignore: ['/result/took']
    },
    { method: 'tools/list', unordered: ['/result/tools'] }
  ])
  t.equal(withRules(after, LEARNED, { file: 'a.yaml' }), after)
})

t.test('the file is replaced as a whole, and keeps its mode', async t => {
  const dir = folderOf(t, { 'real.yaml': 'version: 1 # kept\n' })
  const real = path.join(dir, 'real.yaml')
  const file = path.join(dir, 'a.rules.yaml')
  chmodSync(real, 0o600)
  symlinkSync(real, file)
  await writeRules(file, LEARNED)
  t.match(readFileSync(real, 'utf8'), /# kept/)
  t.equal(statSync(real).mode & 0o777, 0o600)
  t.same(await readRules(file), await readRules(real))
  const fresh = path.join(dir, 'new.yaml')
  await writeRules(fresh, LEARNED)
  t.equal((await readRules(fresh)).answers.length, 2)
  t.same(readdirSync(dir).sort(), ['a.rules.yaml', 'new.yaml', 'real.yaml'])
  await t.rejects(writeRules(path.join(dir, 'none', 'x.yaml'), LEARNED), { code: 'rules_unwritable' })
})

t.test('nothing is added to a file in which something is wrong', async t => {
  const dir = folderOf(t, { 'a.yaml': 'version: 7\n' })
  await t.rejects(writeRules(path.join(dir, 'a.yaml'), LEARNED), { code: 'rules_invalid' })
  t.equal(readFileSync(path.join(dir, 'a.yaml'), 'utf8'), 'version: 7\n')
  t.throws(
    () => withRules('version: 1\nrequests: &r []\nanswers: *r\n', LEARNED, { file: 'a.yaml' }),
    /nothing can be added/
  )
})
