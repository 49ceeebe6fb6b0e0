/** Log lines: one an event, whatever a peer put into it. */
import t from 'tap'
import { createLog } from '../src/log.ts'

function written(format: 'text' | 'json', text: string): string {
  const lines: string[] = []
  createLog({ level: 'info', format, write: line => lines.push(line) }).info('event', text)
  return lines.join('')
}

const HOSTILE = 'tools/x\ncatflap: error: forged\r\x1b[2J\x9b2J\u202egnp.exe\u2028end'

t.test('nothing that came from a peer forges a line or steers a terminal', async t => {
  for (const format of ['text', 'json'] as const) {
    const line = written(format, HOSTILE)
    t.notMatch(line.slice(0, -1), /[\p{Cc}\p{Cf}\u2028\u2029]/u, format)
    t.equal(line.at(-1), '\n')
  }
  t.equal(JSON.parse(written('json', HOSTILE)).text, HOSTILE)
})

t.test('a secret is taken out before the line is made safe to show', async t => {
  const lines: string[] = []
  const scrub = (text: string) => text.replaceAll('se\tcret', '[redacted]')
  createLog({ level: 'info', format: 'text', write: line => lines.push(line), scrub }).warn('event', 'a se\tcret b')
  t.same(lines, ['catflap: warn: a [redacted] b\n'])
})

t.test('a line stays JSON, however far what is taken out of it seems to go', async t => {
  const lines: string[] = []
  const scrub = (text: string) => text.replace(/Authorization: .*/, 'Authorization: [redacted]')
  const log = createLog({ level: 'info', format: 'json', write: line => lines.push(line), scrub })
  log.warn('event', 'Authorization: Basic c2VjcmV0', { cause: 'after' })
  t.match(JSON.parse(lines[0] ?? ''), { event: 'event', text: 'Authorization: [redacted]', cause: 'after' })
  t.notMatch(lines[0], /c2VjcmV0/)
})
