/** What is read from tapes of real clients and servers, on every transport and in both eras. */
import path from 'node:path'
import t from 'tap'
import { notification, rpc } from '../helpers/rpc.ts'
import { PAIRS, pair } from '../integration/pairing-door.ts'
import { complete, read, requestsOf, story } from './recording-door.ts'

for (const [client, server] of PAIRS)
  t.test(`a client on ${client}, a server on ${server}: each request with all that came of it`, async t => {
    const file = path.join(t.testdir(), 'a.tape.jsonl')
    const p = await pair(t, client, server, { version: '2025-11-25', record: { path: file } })
    void p.client.say(rpc('c', 'tools/call', { name: 'do', _meta: { progressToken: 'p' } }))
    const heard = await p.server.heard.next()
    const token = heard.json.params._meta.progressToken
    heard.tell(notification('notifications/progress', { progressToken: token, progress: 1 }))
    await p.client.heard.until(m => m.method === 'notifications/progress')
    heard.answer({ jsonrpc: '2.0', id: heard.json.id, result: { x: 1 } })
    await p.client.heard.until(m => m.id === 'c')
    await p.server.tell(notification('soon'))
    await p.client.heard.until(m => m.method === 'soon')
    await p.door.close()
    const recording = await read(t, file)
    t.equal(recording.legacy.length, 1)
    t.equal(recording.modern, undefined)
    const { version, versions, before } = recording.legacy[0]!
    t.same({ version, versions, before }, { version: '2025-11-25', versions: ['2025-11-25'], before: [] })
    // Where an answer came over HTTP from a server that has no status to tell, there is none.
    const status = client === 'http' && server === 'http' ? ' 200' : ''
    t.same(
      story(recording.legacy[0]).filter(line => !line.startsWith('listen') && line !== 'end'),
      [
        'initialize #0',
        `  result${status}`,
        'notifications/initialized',
        'tools/call do #"c"',
        '  said owned notifications/progress',
        `  result${status}`,
        '  after soon'
      ]
    )
    const listens = recording.legacy[0]!.steps.filter(step => step.kind === 'listen')
    t.equal(listens.length, client === 'stdio' ? 0 : 1)
    await complete(t, file, recording)
    const call = requestsOf(recording.legacy[0])[1]!
    t.match(call, {
      id: '"c"',
      progressToken: '"p"',
      subject: 'do',
      batch: undefined,
      truncated: false,
      cancelled: undefined
    })
    t.same(JSON.parse(call.text.get()).params.name, 'do')
    t.equal(call.text.length, call.text.get().length)
    t.match(call.outcome, { text: { length: Number }, own: false, truncated: false })
    t.same(call.outcome.kind === 'response' && JSON.parse(call.outcome.text.get()).result, { x: 1 })
    t.equal(call.headers === undefined, client === 'stdio')
  })
