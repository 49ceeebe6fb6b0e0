import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { numbersOn, posix, run, tapeIn } from './tool-fixtures.ts'

t.test('outputs: nothing is overwritten without --force, nothing but files ever, and no drafts stay', async t => {
  const file = await tapeIn(t)
  const folder = path.dirname(file)
  const taken = path.join(folder, 'taken')
  await writeFile(taken, 'mine')
  await mkdir(path.join(folder, 'folder'))
  const refused = await run(t, ['cut', file, '-o', taken])
  t.equal(refused.code, 1)
  t.match(refused.err, /taken exists already: name another file, or replace it with --force/)
  t.equal(await readFile(taken, 'utf8'), 'mine')
  t.equal((await run(t, ['cut', file, '-o', taken, '--force'])).code, 0)
  t.strictSame(await numbersOn(taken), [1, 2, 3, 4, 5, 6, 7, 8])
  for (const name of ['folder', 'no/such/folder/x']) {
    const failed = await run(t, ['cut', file, '-o', path.join(folder, name), '--force'])
    t.strictSame([failed.code, failed.err.split('\n').length], [1, 2], name)
  }
  if (posix) {
    await promisify(execFile)('mkfifo', [path.join(folder, 'fifo')])
    await symlink('/dev/null', path.join(folder, 'null'))
    for (const name of ['fifo', 'null'])
      t.equal((await run(t, ['cut', file, '-o', path.join(folder, name), '--force'])).code, 1, name)
    t.match((await run(t, ['redact', path.join(folder, 'fifo'), '-o', `${file}.y`])).err, /no ordinary file/)
  }
  t.strictSame(
    (await readdir(folder)).filter(name => name.endsWith('.part')),
    []
  )
})
