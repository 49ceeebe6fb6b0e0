/** Which values of a tape are taken for what the server made up. */
import t from 'tap'
import { bindingsOf } from '../../src/verify/bindings.ts'
import { Bound } from '../../src/verify/bound.ts'
import { planOf } from '../../src/verify/plan.ts'
import { down, read, request, result, tapeOf, up } from '../replay/recording-door.ts'

interface Turn {
  readonly params: object
  readonly result: object
}

/** One call after the other; each use as `place in the answer → place in the request`. */
async function uses(t: Parameters<typeof read>[0], turns: readonly Turn[], live?: object) {
  const frames = turns.flatMap((turn, i) => [
    up('stdio', request(i, 'tools/call', { name: 'x', ...turn.params })),
    down('stdio', result(i, turn.result))
  ])
  const recording = await read(t, tapeOf(t, frames))
  const plan = planOf(recording, undefined)
  const bindings = bindingsOf(plan)
  const found = [...bindings.uses.values()].flat().map(u => `${u.minted.path.join('.')} → ${u.path.join('.')}`)
  const bound = new Bound(bindings)
  const [source] = [...bindings.minted.keys()]
  if (source && live) bound.learn(source, { result: live })
  return { found, bound, bindings }
}

const asked = (args: object): object => ({ arguments: args })
const NOTHING = { params: asked({}), result: {} }

t.test('ids, as a whole and in the middle of texts', async t => {
  const made = { id: 'item_8f9cd9551c', text: 'made order 48213 of it' }
  const { found } = await uses(t, [
    { params: asked({}), result: made },
    { params: asked({ id: 'item_8f9cd9551c', order: '48213' }), result: {} },
    { params: asked({ url: 'https://a.example/item_8f9cd9551c/edit' }), result: {} }
  ])
  t.same(found, [
    'result.id → params.arguments.id',
    'result.text → params.arguments.order',
    'result.id → params.arguments.url'
  ])
})

t.test('words, small numbers, and what the client said first are none', async t => {
  const { found } = await uses(t, [
    { params: asked({ mine: 'client-1234' }), result: { a: 'ordinary', b: 1234, c: 'client-1234', d: 'two words 1' } },
    { params: asked({ a: 'ordinary', b: 1234, c: 'client-1234', d: 'two words 1' }), result: {} }
  ])
  t.same(found, [])
})

t.test('cursors and states count however short they are', async t => {
  const { found } = await uses(t, [
    { params: {}, result: { nextCursor: '2', requestState: 's' } },
    { params: { cursor: '2', requestState: 's' }, result: {} }
  ])
  t.same(found, ['result.nextCursor → params.cursor', 'result.requestState → params.requestState'])
})

t.test('what is still there has not changed, though it may have moved', async t => {
  const items = [{ uri: 'a://item/1000001' }, { uri: 'a://item/1000002' }]
  const turns = [
    { params: asked({}), result: { items } },
    { params: { uri: 'a://item/1000002' }, result: {} }
  ]
  const moved = await uses(t, turns, { items: [{ uri: 'a://new/7' }, ...items] })
  t.same(moved.bound.mintedAs('a://new/7'), [])
  t.equal(moved.bound.isSame('a://item/1000002', 'a://new/7'), false)
})

t.test('elements are found by their names, wherever they stand', async t => {
  const turns = [
    { params: asked({}), result: { list: [{ name: 'lamp', key: 'key-111111' }] } },
    { params: asked({ key: 'key-111111' }), result: {} }
  ]
  const live = {
    list: [
      { name: 'new', key: 'key-999999' },
      { name: 'lamp', key: 'key-222222' }
    ]
  }
  const { bound } = await uses(t, turns, live)
  t.same(
    ['key-222222', 'key-999999'].map(now => bound.mintedAs(now).map(m => m.value)),
    [['key-111111'], []]
  )
  t.ok(bound.isSame('it is key-111111 now', 'it is key-222222 now'))
  t.notOk(bound.isSame('it is key-111111 now', 'it was key-222222 now'))
})

t.test('a number that is said as a text later', async t => {
  const turns = [
    { params: asked({}), result: { order: 48213 } },
    { params: asked({ order: '48213', number: 48213, url: '/orders/48213' }), result: {} }
  ]
  const { bound, bindings } = await uses(t, turns, { order: 50007 })
  const [step] = [...bindings.uses.keys()]
  const json = { params: { arguments: { order: '48213', number: 48213, url: '/orders/48213' } } }
  bound.apply(step!, json)
  t.same(json.params.arguments, { order: '50007', number: 50007, url: '/orders/50007' })
})

t.test('what is given back needs a value to give back', async t => {
  const turns = [
    { params: asked({}), result: { task: { taskId: 'task-1' } } },
    { params: { taskId: 'task-1' }, result: {} }
  ]
  for (const [taskId, expected] of [
    [null, /no taskId any more/],
    [{ id: 'task-2' }, /no taskId any more/],
    [true, /no taskId any more/],
    ['task-2', undefined],
    [2, undefined]
  ] as const) {
    const { bound, bindings } = await uses(t, turns, { task: { taskId } })
    const [step] = [...bindings.uses.keys()]
    const missing = bound.missing(step!)
    expected ? t.match(missing, expected, JSON.stringify(taskId)) : t.equal(missing, undefined, JSON.stringify(taskId))
  }
})

t.test('nothing said, nothing found', async t => {
  t.same((await uses(t, [NOTHING, NOTHING])).found, [])
})
