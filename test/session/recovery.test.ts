import t from 'tap'
import { Message } from '../../src/protocol/message.ts'
import { Recovery } from '../../src/session/recovery.ts'

const text = (value: object): Buffer => Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...value }))
const response = (id: string): Message => Message.parse(Buffer.from(`{"jsonrpc":"2.0","id":${id},"result":{}}`))

t.test('only what the present server has asked can be answered', async t => {
  const recovery = new Recovery()
  t.ok(recovery.answers(response('1')), 'nothing was lost yet')
  recovery.renewed()
  t.notOk(recovery.answers(response('1')))
  recovery.heard(text({ id: 1, method: 'ping' }))
  recovery.heard(text({ id: 'a', result: { method: 'x' } }))
  recovery.heard(Buffer.from('"method" and no message'))
  t.same(
    ['1', '1.0', '"1"', '"a"'].map(id => recovery.answers(response(id))),
    [true, true, false, false]
  )
  recovery.renewed()
  t.notOk(recovery.answers(response('1')), 'and it was lost again')
})

t.test('big ids come back rounded', async t => {
  const recovery = new Recovery()
  recovery.renewed()
  recovery.heard(Buffer.from('{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}'))
  t.ok(recovery.answers(response('9007199254740992')))
})

t.test('a server that asks without end is remembered with its last questions', async t => {
  const recovery = new Recovery()
  recovery.renewed()
  for (let id = 0; id < 1_100; id++) recovery.heard(text({ id, method: 'ping' }))
  t.same(
    ['0', '75', '76', '1099'].map(id => recovery.answers(response(id))),
    [false, false, true, true]
  )
})
