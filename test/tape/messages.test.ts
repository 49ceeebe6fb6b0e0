import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import t from 'tap'
import { conversation, posix, runEach, tapeIn } from './tool-fixtures.ts'

t.test('what cannot be read, listed or written is told in one sentence that says what to do', async t => {
  const file = await tapeIn(t)
  const folder = path.dirname(file)
  const [inner, missing] = [path.join(folder, 'inner'), path.join(folder, 'missing')]
  await mkdir(inner)
  const out = path.join(folder, 'out.tape.jsonl')
  const cases: [args: string[], message: RegExp, code?: number][] = [
    [['show', missing], /: there is no such file\n$/],
    [['diff', file, missing], /: there is no such file\n$/, 2],
    [['show', 'http://127.0.0.1/mcp'], /mcp: it is a URL; name a tape, which is a file\n$/],
    [['diff', file, 'http://127.0.0.1/mcp'], /mcp: it is a URL; name a tape, which is a file\n$/, 2],
    [['diff', file, inner], /: the folder holds no \*\.tape\.jsonl\n$/, 2],
    [['ls', missing], /cannot list .*: there is no such folder\n$/],
    [['cut', file, '-o', path.join(missing, 'a')], /cannot write .*: its folder does not exist\n$/],
    [['cut', file, '-o', out, '--session', 'nope'], /nothing of .* is kept, so nothing was written: --session /],
    [['cut', file, '-o', out, '--method', 'nope'], /nothing of .* is kept, so nothing was written: 'catflap tape show'/]
  ]
  // What the system says of these depends on it.
  if (posix)
    cases.push(
      [['show', inner], /: it is a folder; name one of its tapes/],
      [['validate', inner], /: it is a folder; name one of its tapes/],
      [['ls', file], /: it is no folder \('catflap tape show FILE' prints a tape\)\n$/],
      [['stats', path.join(file, 'x')], /: what stands before the last \/ is no folder\n$/]
    )
  const results = await runEach(
    t,
    cases.map(([args]) => args)
  )
  for (const [i, [args, message, code = 1]] of cases.entries()) {
    const { out, err, code: actual } = results[i]!
    t.match(err, message, args.join(' '))
    t.match(err, /^catflap: [^\n]+\n$/, 'one line')
    t.notMatch(err, /ENOENT|EISDIR|ENOTDIR/)
    t.strictSame([out, actual], ['', code], args.join(' '))
  }
  t.notOk(existsSync(out), 'no tape without a frame')
})

t.test('one frame is not told as several', async t => {
  const file = await tapeIn(t, conversation.slice(0, 1))
  const out = (name: string) => path.join(path.dirname(file), name)
  const told = await runEach(t, [
    ['cut', file, '-o', out('one.tape.jsonl')],
    ['redact', file, '-o', out('clean.tape.jsonl'), '--redact-json', '/params/name'],
    ['validate', file],
    ['ls', path.dirname(file)]
  ])
  for (const { out, err, code } of told) {
    t.match(`${err}${out}`, /\b1 frame\b/)
    t.equal(code, 0)
  }
})
