/** What reports say of servers that do not answer, and of what was not sent. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { junitOf } from '../../src/verify/junit-report.ts'
import { reportLines } from '../../src/verify/text-report.ts'
import { scripted } from '../fixtures/servers/scripted.ts'
import { trackLeaks } from '../helpers/leaks.ts'
import { down, request, result, tapeOf, up } from '../replay/recording-door.ts'
import { check } from './verify-stage.ts'

async function answering(t: Test, status: number, body = '', type = 'text/html'): Promise<string> {
  const server = createServer((_, res) => void res.writeHead(status, { 'content-type': type }).end(body))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  t.teardown(async () => {
    server.closeAllConnections()
    await new Promise(resolve => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`
}

t.test('a server that wants credentials: which options supply them', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [up('stdio', request(1, 'ping')), down('stdio', result(1))])
  const report = await check(file, { url: await answering(t, 401) })
  for (const shown of [reportLines(report).join('\n'), junitOf(report).join('\n')])
    t.match(shown, /HTTP 401.*--token or --header supplies credentials/)
})

t.test('why there is no answer is told as a whole', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [up('stdio', request(1, 'ping')), down('stdio', result(1))])
  const report = await check(file, { url: await answering(t, 200, '<html>') })
  const [difference] = report.sessions[0]!.requests[0]!.differences
  t.notMatch(difference!.text, '…')
  t.match(difference!.text, String(difference!.new))
})

t.test('notifications that cannot be sent are in every report', async t => {
  trackLeaks(t)
  const frames = [
    up('stdio', request(1, 'ping')),
    down('stdio', result(1)),
    up('stdio', '{"jsonrpc":"2.0","method":"notifications/x","params":{"name":"a","name":"b"}}')
  ]
  const server = await scripted(t, () => ({}))
  const report = await check(tapeOf(t, frames), { url: server.url })
  t.match(report.sessions[0]!.unsent, [{ method: 'notifications/x', reason: /no message/ }])
  t.match(reportLines(report).join('\n'), /skipped {2}notifications\/x .*no message/)
  t.match(junitOf(report).join('\n'), /notifications\/x .*\n.*<skipped message="it is no message/)
})

t.test('secrets in the URL of the server are in no report', async t => {
  trackLeaks(t)
  const file = tapeOf(t, [up('stdio', request(1, 'ping')), down('stdio', result(1))])
  const server = await scripted(t, () => ({ said: '/mcp?key=URLSECRET12345' }))
  const report = await check(file, { url: `${server.url}?key=URLSECRET12345` })
  t.equal(report.outcome, 'different')
  t.notMatch(JSON.stringify(report), /URLSECRET/)
})
