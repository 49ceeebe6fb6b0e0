import { writeFile } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { answer, call, conversation, run, runEach, tapeIn, tapeOf } from './tool-fixtures.ts'

t.test('diff: 0 for the same, 1 for different, 2 for trouble; equal requests in order', async t => {
  const file = await tapeIn(t)
  const other = path.join(path.dirname(file), 'b.tape.jsonl')
  t.strictSame(await run(t, ['diff', file, file]), { out: '', err: '', code: 0 })
  await writeFile(
    other,
    tapeOf([
      ...conversation.slice(0, 4),
      answer(5, 2, { content: [{ type: 'text', text: '\x1b[2J' }], isError: true }),
      conversation[5]!,
      call(7, 9, 'new\x1b[2J')
    ])
  )
  const different = await run(t, ['diff', file, other])
  t.equal(different.code, 1)
  const lines = different.out.trimEnd().split('\n')
  t.match(lines[0], /^~ tools\/call fail {2}\(.*a\.tape\.jsonl:4, .*b\.tape\.jsonl:4\)$/)
  t.match(lines[1], /^ {4}result\.content/)
  t.match(lines[2], /^- tools\/list {2}/)
  t.match(lines[3], /^\+ tools\/call new/)
  t.notMatch(different.out, '\x1b')
  const rules = path.join(path.dirname(file), 'r.yaml')
  await writeFile(rules, 'version: 1\nanswers:\n  - method: tools/call\n    ignore: [/result/content]\n')
  const ruled = await run(t, ['diff', file, other, '--rules', rules])
  t.notMatch(ruled.out, '~ ')
  t.equal((await run(t, ['diff', file, '/nowhere'])).code, 2)
  t.equal((await run(t, ['diff', file])).code, 2)
})

t.test('diff: a tape does not differ from its own redacted copy', async t => {
  const file = await tapeIn(t)
  const clean = path.join(path.dirname(file), 'clean.tape.jsonl')
  const [redacted, ...compared] = await runEach(t, [
    ['redact', file, '-o', clean, '--redact-json', '/params/arguments/password'],
    ['diff', file, clean],
    ['diff', clean, file]
  ])
  t.match(redacted!.err, /: 2 frames changed\n$/, 'in the parameters and in the answer')
  for (const { out, err, code } of compared) t.strictSame([out, err, code], ['', '', 0])
})
