/** A client on a pipe: what is no message, on either side, and what becomes of the rest. */
import t from 'tap'
import { initialize, modern, notification, rpc } from '../helpers/rpc.ts'
import { stdioDoor } from './pipe-door.ts'

const held = { answer: false }

t.test('what the client sends that is no message gets an error without id, and the rest goes on', async t => {
  const { send, nextMessage, log } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { maxBody: 1_000 } })
  const bad: [string, number, string][] = [
    ['not JSON at all', -32700, 'parse_error'],
    ['{"jsonrpc":"2.0","id":1,"method":', -32700, 'parse_error'],
    ['{"jsonrpc":"1.0","id":1,"method":"x"}', -32600, 'invalid_request'],
    ['{"jsonrpc":"2.0","id":null,"method":"x"}', -32600, 'invalid_request'],
    ['"a string"', -32600, 'invalid_request'],
    ['[]', -32600, 'invalid_request'],
    ['{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}', -32600, 'ambiguous_request'],
    ['{"jsonrpc":"2.0","id":1,"method":"x","Method":"y"}', -32600, 'ambiguous_request'],
    ['{"jsonrpc":"2.0","id":1,"method":"x","params":{"name":"a","name":"b"}}', -32600, 'ambiguous_request'],
    [`{"jsonrpc":"2.0","id":1,"method":"${'x'.repeat(1_000)}"}`, -31413, 'body_too_large']
  ]
  for (const [line, code, name] of bad) {
    send(`${line}\n`)
    const answer = await nextMessage()
    t.match(answer, { error: { code, data: { code: name } } }, line.slice(0, 60))
    t.notOk('id' in answer)
  }
  send('\n\r\n', rpc('after', 'do'))
  t.match(await nextMessage(), { id: 'after', result: {} })
  t.equal(log.seen.length, 1, 'the server has seen nothing of it')
})

t.test('a batch of 2025-03-26 gets one array; what the server says meanwhile comes before', async t => {
  const { send, nextMessage, lines, log } = await stdioDoor(t, 'puppet-stdio.ts')
  send(initialize(0, '2025-03-26'))
  await nextMessage()
  const says = { write: `${JSON.stringify(notification('meanwhile'))}\n` }
  const batch = [rpc(1, 'do', held), notification('in the batch'), rpc('1', 'do', says), rpc(2, 'do')]
  send(`${JSON.stringify(batch)}\n`)
  t.match(await nextMessage(), { method: 'meanwhile' })
  await log.child(/seen.*"id":2/)
  send(rpc(3, 'do', { write: '{"jsonrpc":"2.0","id":1,"result":{}}\n' }))
  const answers = JSON.parse(await lines.next()) as { id: unknown }[]
  t.same(
    answers.map(a => a.id),
    ['1', 2, 1]
  )
  t.match(await nextMessage(), { id: 3 })
  t.ok(log.seen.includes(JSON.stringify(notification('in the batch'))))
  send(`${JSON.stringify([rpc(4, 'do')])}\n`)
  t.match(JSON.parse(await lines.next()), [{ id: 4 }], 'one answer is an array too')
  send(`${JSON.stringify([notification('only')])}\n`)
  await log.child(/seen.*only/)
})

t.test('a batch is refused in every other revision, and initialize in any batch', async t => {
  for (const version of ['2024-11-05', '2025-06-18', '2025-11-25']) {
    const { send, nextMessage } = await stdioDoor(t, 'puppet-stdio.ts')
    send(initialize(0, version))
    await nextMessage()
    send(`${JSON.stringify([rpc(1, 'do')])}\n`)
    t.match(await nextMessage(), { error: { code: -32600, message: new RegExp(version) } }, version)
  }
  const { send, nextMessage } = await stdioDoor(t, 'puppet-stdio.ts')
  send(`${JSON.stringify([initialize(0, '2025-03-26')])}\n`)
  t.match(await nextMessage(), { error: { code: -32600, message: /initialize/ } })
  send(`${JSON.stringify([modern(rpc(1, 'server/discover'))])}\n`)
  t.match(
    await nextMessage(),
    { error: { code: -32600, message: /2026-07-28/ } },
    'the modern era says so in the message'
  )
})

t.test('a batch whose requests were cancelled ends with the answers there are', async t => {
  const { send, lines, nextMessage } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { cancelGrace: 20 } })
  send(initialize(0, '2025-03-26'))
  await nextMessage()
  send(`${JSON.stringify([rpc(1, 'do'), rpc(2, 'do', held)])}\n`)
  send(notification('notifications/cancelled', { requestId: 2 }))
  t.match(JSON.parse(await lines.next()), [{ id: 1, result: {} }])
})

t.test("noise on the child's stdout goes to the log, torn UTF-8 and CRLF make no difference", async t => {
  const { send, lines, log } = await stdioDoor(t, 'raw-stdio.ts', { args: ['--noise', '2', '--split', '--crlf'] })
  send(rpc('é', 'x', { s: '€𝄞' }))
  t.equal(await lines.next(), '{"jsonrpc":"2.0","id":"é","result":{"echo":{"s":"€𝄞"}}}')
  t.match(
    log.of('noise').map(l => l.text),
    [/noise 0/, /noise 1/]
  )
  t.equal(lines.items.length, 1)
})

t.test('an answer over the limit fails its call with its id, and the rest goes on', async t => {
  const { send, nextMessage } = await stdioDoor(t, 'puppet-stdio.ts', { settings: { maxMessage: 2_000 } })
  send(rpc(1, 'do', held), rpc(2, 'do', { answer: `{"jsonrpc":"2.0","id":2,"result":"${'x'.repeat(3_000)}"}` }))
  t.match(await nextMessage(), { id: 2, error: { code: -31036, data: { code: 'message_too_large' } } })
  send(rpc(3, 'do', { write: '{"jsonrpc":"2.0","id":1,"result":{}}\n' }))
  t.match(await nextMessage(), { id: 1 })
  t.match(await nextMessage(), { id: 3 })
})

t.test(
  'a child that ends in the middle of a line: its calls fail with their ids, half a line reaches nobody',
  async t => {
    const { send, lines, door } = await stdioDoor(t, 'raw-stdio.ts', { args: ['--mute-on', 'y', '--partial-on', 'x'] })
    send(rpc('y', 'y'), rpc('x', 'x'))
    const end = await door.ended
    t.match(end, { why: 'server', error: { code: 'child_exited', message: /exited with code 0/ } })
    t.match(
      lines.items.map(line => JSON.parse(line)),
      [
        { id: 'y', error: { code: -31041 } },
        { id: 'x', error: { code: -31041 } }
      ]
    )
    t.equal(lines.items.length, 2)
  }
)

t.test('a last line that lacks only its end counts', async t => {
  const { send, lines, door } = await stdioDoor(t, 'puppet-stdio.ts')
  send(rpc(1, 'do', { write: '{"jsonrpc":"2.0","id":1,"result":"whole"}', answer: false, exit: 0 }))
  t.equal(await lines.next(), '{"jsonrpc":"2.0","id":1,"result":"whole"}')
  await door.ended
})

t.test('a child that dies in mid call: exit code and last words, in one line', async t => {
  const { send, nextMessage, door } = await stdioDoor(t, 'raw-stdio.ts', { args: ['--die-on', 'x'] })
  send(rpc(1, 'x'))
  t.match(await nextMessage(), {
    id: 1,
    error: {
      message: /exited with code 3\. Its last words on stderr: about to die \| fatal: the fixture died as asked$/,
      data: { code: 'child_exited', exitCode: 3, stderr: ['about to die', 'fatal: the fixture died as asked'] }
    }
  })
  t.match(await door.ended, { why: 'server' })
})

t.test('a child that cannot start ends the conversation, naming the command and not its arguments', async t => {
  const target = { command: '/no/such/command', args: ['--password', 'hunter2'] }
  const { door } = await stdioDoor(t, 'puppet-stdio.ts', { target })
  const end = await door.ended
  t.match(end, { why: 'server', error: { code: 'child_start_failed', message: /\/no\/such\/command.*ENOENT/ } })
  t.notMatch(JSON.stringify(end), 'hunter2')
})

t.test('a flood reaches the client whole, however slowly it reads, and holds the child back', async t => {
  const { send, lines, output } = await stdioDoor(t, 'raw-stdio.ts', { args: ['--flood', '20000'] })
  output.pause()
  send(rpc(1, 'x'))
  await new Promise<void>(resolve => {
    const look = (): unknown => (output.readableLength > 0 ? resolve() : setImmediate(look))
    look()
  })
  t.ok(output.readableLength < 1_000_000)
  output.resume()
  await lines.until(line => line.includes('"id":1'))
  t.equal(lines.items.length, 20_001)
})

t.test('a client on stdio and a server that is not there: each request is answered, notifications are not', async t => {
  const { send, nextMessage, lines } = await stdioDoor(t, 'puppet-stdio.ts', {
    target: { url: 'http://127.0.0.1:9/mcp' }
  })
  send(initialize(0), notification('notifications/initialized'), rpc('2', 'tools/list'))
  for (const id of [0, '2'])
    t.match(await nextMessage(), { id, error: { code: -31030, data: { code: 'upstream_unreachable' } } })
  t.equal(lines.items.length, 2)
})
