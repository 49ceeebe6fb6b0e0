import t from 'tap'
import { Progress } from '../../src/cli/progress.ts'

function terminal(isTTY = true): { readonly written: string[]; readonly isTTY: boolean; write(text: string): void } {
  const written: string[] = []
  return { written, isTTY, write: text => void written.push(text) }
}

t.test('on a terminal, long work is one line that is taken away at the end', t => {
  const stream = terminal()
  const progress = new Progress({ stream, patience: 0 })
  progress.reading(500_000, 1_000_000)
  progress.reading(600_000, 1_000_000)
  t.equal(stream.written.length, 1, 'not at each call')
  t.match(stream.written[0], /^\r\x1b\[Kreading █{15}░{15} 50 %, 500\.0 kB, .*B\/s$/)
  progress.end()
  t.equal(stream.written[1], '\r\x1b[K')
  progress.end()
  t.equal(stream.written.length, 2)
  progress.sending(3, 3)
  t.match(stream.written[2], /^\r\x1b\[Kchecking █{30} 100 %$/)
  t.end()
})

t.test('what has no known length tells how much was read', async t => {
  const stream = terminal()
  const progress = new Progress({ stream, patience: 0 })
  progress.add(2_000)
  t.match(stream.written[0], /^\r\x1b\[Kreading, 2\.0 kB, /)
})

t.test('nothing is written elsewhere, nor where the work is short', t => {
  const file = terminal(false)
  const unseen = new Progress({ stream: file, patience: 0 })
  unseen.reading(1, 2)
  unseen.end()
  const stream = terminal()
  const short = new Progress({ stream })
  short.reading(1, 2)
  short.end()
  t.strictSame([file.written, stream.written], [[], []])
  t.end()
})
