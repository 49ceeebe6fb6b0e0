/** What is read from frames written by hand: what real traffic shows seldom. */
import t from 'tap'
import { HEADER } from '../tape/fixtures.ts'
import {
  down,
  end,
  type FrameFacts,
  JSON_HEAD,
  note,
  notice,
  open,
  read,
  request,
  requestsOf,
  result,
  sseHead,
  story,
  tapeOf,
  up
} from './recording-door.ts'

/** Frames of a session, and the story that they tell. */
const stories: Record<string, readonly [readonly FrameFacts[], readonly string[]]> = {
  'loose messages stand behind what happened last, owned ones with their request': [
    [
      up('stdio', request(1, 'a', { _meta: { progressToken: 'x' } })),
      down('stdio', notice('loose/1')),
      up('stdio', request(2, 'b')),
      down('stdio', notice('notifications/progress', { progressToken: 'x', progress: 1 })),
      down('stdio', notice('loose/2')),
      down('stdio', result(2)),
      down('stdio', notice('loose/3')),
      down('stdio', result(1)),
      down('stdio', notice('loose/4'))
    ],
    [
      'a #1',
      '  said loose/1',
      '  said owned notifications/progress',
      '  result',
      '  after loose/4',
      'b #2',
      '  said loose/2',
      '  result',
      '  after loose/3'
    ]
  ],
  'what the server says before anything else': [
    [down('get-1', notice('hello')), up('post-2', request(1, 'a'))],
    ['before hello', 'a #1', '  open']
  ],
  'equal ids in flight: the answer on the own stream is meant': [
    [
      up('post-1', request(1, 'a')),
      up('post-2', request(1, 'b')),
      down('post-2', { jsonrpc: '2.0', id: 1, error: { code: 1, message: '' } }, { http: JSON_HEAD }),
      down('post-1', result(1), { http: JSON_HEAD })
    ],
    ['a #1', '  result 200', 'b #1', '  error 200']
  ],
  'equal ids in flight on a pipe: the oldest is meant, but one that was cancelled last': [
    [
      up('stdio', request(1, 'a')),
      up('stdio', request(1, 'b')),
      up('stdio', request(1, 'c')),
      up('stdio', notice('notifications/cancelled', { requestId: 1 })),
      down('stdio', result(1)),
      down('stdio', { jsonrpc: '2.0', id: 1, error: {} })
    ],
    ['a #1 cancelled by notification', '  open', 'b #1', '  result', 'c #1', '  error', 'notifications/cancelled']
  ],
  'ids are told apart by type, and rounded ones are found': [
    [
      up('stdio', request('1', 'text')),
      up('stdio', request(1, 'number')),
      up('stdio', '{"jsonrpc":"2.0","id":9007199254740993,"method":"big"}'),
      down('stdio', '{"jsonrpc":"2.0","id":1.0,"result":{}}'),
      down('stdio', '{"jsonrpc":"2.0","id":"\\u0031","error":{}}'),
      down('stdio', '{"jsonrpc":"2.0","id":9007199254740992,"result":{}}')
    ],
    ['text #"1"', '  error', 'number #1', '  result', 'big #9007199254740993', '  result']
  ],
  'a stream that ends to be polled, and the response on a later one': [
    [
      up('post-1', request(1, 'a')),
      sseHead('post-1'),
      { stream: 'post-1', dir: 'down', kind: 'event', sse: { id: 'e1' } },
      end('post-1'),
      open('get-2', 'GET', [['Last-Event-ID', 'e1']]),
      sseHead('get-2'),
      down('get-2', notice('meanwhile'), { sse: { id: 'e2' } }),
      end('get-2'),
      open('get-3', 'GET', [['last-event-id', 'e2']]),
      sseHead('get-3'),
      down('get-3', result(1)),
      end('get-3')
    ],
    ['a #1', '  said owned meanwhile', '  result 200', 'listen 200', 'listen 200']
  ],
  'a stream that breaks, and one that ends, without a response': [
    [
      up('post-1', request(1, 'a')),
      sseHead('post-1'),
      note('error', { stream: 'post-1', data: { code: 'upstream_reset' } }),
      up('post-2', request(2, 'b')),
      sseHead('post-2'),
      end('post-2'),
      up('post-3', request(3, 'c')),
      sseHead('post-3')
    ],
    ['a #1', '  cut upstream_reset', 'b #2', '  cut complete', 'c #3', '  open']
  ],
  'a client that goes away has cancelled': [
    [
      up('post-1', request(1, 'a')),
      sseHead('post-1'),
      down('post-1', notice('said')),
      note('disconnect', { stream: 'post-1' })
    ],
    ['a #1 cancelled by disconnect', '  said owned said', '  cut disconnect']
  ],
  'answers that are no responses': [
    [
      up('post-1', request(1, 'a')),
      down('post-1', undefined, { kind: 'head', http: { status: 401, headers: [['www-authenticate', 'Bearer']] } }),
      up('post-2', request(2, 'b')),
      down('post-2', '<html>', { kind: 'body', http: { status: 502, headers: [] } }),
      up('post-3', request(3, 'c')),
      down('post-3', '{"jsonrpc":"2.0","id":null,"error":{}}', { http: { status: 400, headers: [] } }),
      up('post-4', request(4, 'd')),
      down('post-4', '{"jsonrpc":"2.0","id":4,"error":{}}', { http: { status: 403, headers: [] }, own: true })
    ],
    ['a #1', '  status 401', 'b #2', '  status 502', 'c #3', '  status 400', 'd #4', '  own error 403']
  ],
  "the server's requests and the client's answers": [
    [
      up('post-1', request(1, 'a')),
      sseHead('post-1'),
      down('post-1', request(7, 'ask/1')),
      down('post-1', request(7, 'ask/2')),
      up('post-2', result(7)),
      up('post-3', result(7)),
      up('post-4', result(8))
    ],
    [
      'a #1',
      '  said owned ask/1 #7',
      '  said owned ask/2 #7',
      '  open',
      'answer to ask/1',
      'answer to ask/2',
      'answer to nothing'
    ]
  ],
  'a batch, its answers, and what is said meanwhile': [
    [
      up('post-1', [
        request(1, 'a', { _meta: { progressToken: 1 } }),
        notice('n'),
        request(2, 'b', { _meta: { progressToken: 2 } })
      ]),
      sseHead('post-1'),
      down('post-1', notice('notifications/progress', { progressToken: 2 })),
      down('post-1', notice('unnamed')),
      down('post-1', [result(2), result(1)]),
      end('post-1')
    ],
    ['a #1', '  said owned unnamed', '  result 200', 'n', 'b #2', '  said owned notifications/progress', '  result 200']
  ],
  'cancelled too late, and cancelling nothing': [
    [
      up('stdio', request(1, 'a')),
      down('stdio', result(1)),
      up('stdio', notice('notifications/cancelled', { requestId: 1 })),
      up('stdio', notice('notifications/cancelled', { requestId: 2 })),
      down('stdio', result(3))
    ],
    ['a #1', '  result', 'notifications/cancelled', 'notifications/cancelled']
  ],
  'what is no message of either side is passed over': [
    [
      { side: 'server', text: request(1, 'hidden') },
      { kind: 'thought', text: request(2, 'hidden') },
      up('stdio', request(3, 'a')),
      up('stdio', '{"jsonrpc":"2.0","id":'),
      up('stdio', '[1,[],"x"]'),
      up('stdio', undefined, { base64: '/w==' }),
      note('late', {}),
      { side: 'server', dir: 'down', stream: 'stdio', text: notice('late') },
      down('stdio', result(3))
    ],
    ['a #3', '  result']
  ],
  'of a truncated answer the id may be missing': [
    [
      up('post-1', request(1, 'a')),
      down('post-1', '{"jsonrpc":"2.0","result":{"x":"yyy', {
        http: JSON_HEAD,
        truncated: { length: 99, sha256: 'a'.repeat(64) }
      })
    ],
    ['a #1', '  result 200']
  ],
  'the end of a session, and of a pipe': [
    [
      open('get-1', 'GET'),
      { stream: 'get-1', dir: 'down', kind: 'event', sse: { event: 'endpoint' }, text: '/messages', own: true },
      up('post-2', request(1, 'a')),
      { stream: 'post-2', dir: 'down', kind: 'head', http: { status: 202, headers: [] }, own: true },
      down('get-1', result(1)),
      note('disconnect', { stream: 'get-1' }),
      open('delete-3', 'DELETE'),
      { stream: 'delete-3', dir: 'down', kind: 'head', http: { status: 204, headers: [] } }
    ],
    ['listen', 'a #1', '  result', 'end', 'end 204']
  ],
  'the progress of a task goes on behind its answer': [
    [
      up('stdio', request(1, 'a', { task: {}, _meta: { progressToken: 't' } })),
      down('stdio', result(1, { task: { taskId: 'x' } })),
      up('stdio', request(2, 'b')),
      down('stdio', notice('notifications/progress', { progressToken: 't' })),
      down('stdio', result(2))
    ],
    ['a #1', '  result', 'b #2', '  said notifications/progress names a', '  result']
  ]
}

for (const [name, [frames, expected]] of Object.entries(stories))
  t.test(name, async t => {
    const file = tapeOf(
      t,
      frames.map(frame => ({ session: 's1', ...frame }))
    )
    const recording = await read(t, file)
    t.same(story(recording.legacy[0]), expected)
    t.equal(recording.legacy.length, 1)
    t.equal(recording.counts.frames, frames.length)
  })

const meta = (version = '2026-07-28', more: object = {}): object => ({
  _meta: { 'io.modelcontextprotocol/protocolVersion': version, ...more }
})
const subscription = { _meta: { 'io.modelcontextprotocol/subscriptionId': 5 } }

t.test('modern: no session, versions as the requests name them, subscriptions by their ids', async t => {
  const file = tapeOf(t, [
    down('stdio', notice('early')),
    up('stdio', request(1, 'server/discover', meta('2027-01-01'))),
    down('stdio', { jsonrpc: '2.0', id: 1, error: { code: -32022 } }),
    up('stdio', request(5, 'subscriptions/listen', meta())),
    down('stdio', notice('notifications/subscriptions/acknowledged', subscription)),
    up('stdio', request(6, 'tools/call', { name: 'x', ...meta() })),
    down('stdio', notice('notifications/tools/list_changed', subscription)),
    down('stdio', notice('notifications/message')),
    down('stdio', result(6)),
    up('stdio', notice('notifications/cancelled', { requestId: 5 })),
    down('stdio', result(5, subscription))
  ])
  const { modern, legacy } = await read(t, file)
  t.same(legacy, [])
  t.same(modern?.version, '2026-07-28')
  t.same(modern?.versions, ['2026-07-28'])
  t.same(story(modern), [
    'before early',
    'server/discover #1',
    '  error',
    'subscriptions/listen #5 cancelled by notification',
    '  said owned notifications/subscriptions/acknowledged',
    '  said owned notifications/tools/list_changed',
    '  result',
    'tools/call x #6',
    '  said notifications/message',
    '  result',
    'notifications/cancelled'
  ])
})

t.test('a client that tries the modern era first: each request in its era', async t => {
  const file = tapeOf(t, [
    up('stdio', request(0, 'server/discover', meta())),
    down('stdio', { jsonrpc: '2.0', id: 0, error: { code: -32601 } }),
    { ...up('stdio', request(1, 'initialize', { protocolVersion: '2025-11-25' })), session: 's1' },
    { ...down('stdio', result(1, { protocolVersion: '2025-06-18' })), session: 's1' },
    { ...note('session-end', { remark: 'the session ended: client' }), session: 's1' }
  ])
  const { modern, legacy } = await read(t, file)
  t.same(story(modern), ['server/discover #0', '  error'])
  t.same(modern?.versions, [], 'what the server refused is no version of its')
  t.same(story(legacy[0]), ['initialize #1', '  result', 'end'])
  t.equal(legacy[0]?.version, '2025-06-18')
})

t.test('a server without sessions: its initialize belongs to what follows', async t => {
  const file = tapeOf(t, [
    { ...up('post-1', request(1, 'initialize')), session: 's1' },
    { ...down('post-1', result(1, { protocolVersion: '2025-11-25' }), { http: JSON_HEAD }), session: 's1' },
    up('post-2', request(2, 'tools/list')),
    down('post-2', result(2), { http: JSON_HEAD })
  ])
  const { legacy } = await read(t, file)
  t.equal(legacy.length, 1)
  t.equal(legacy[0]?.session, undefined)
  t.equal(legacy[0]?.version, '2025-11-25')
  t.same(story(legacy[0]), ['initialize #1', '  result 200', 'tools/list #2', '  result 200'])
})

t.test('several tapes: one order, by their start and the time since then', async t => {
  const at = (started: string): string =>
    JSON.stringify({ ...JSON.parse(HEADER), started: `2026-11-23T00:00:0${started}.000Z` })
  const two = (id: number, ms: number): FrameFacts[] => [
    { ...up('stdio', request(id, 'a')), t: ms, session: `s${id}` },
    { ...note('disconnect', { stream: 'stdio' }), t: ms + 1500, session: `s${id}` }
  ]
  const files = [tapeOf(t, two(1, 1000), 'b.tape.jsonl', at('1')), tapeOf(t, two(2, 500), 'a.tape.jsonl', at('2'))]
  for (const named of [files, [t.testdirName]]) {
    const { legacy, tapes } = await read(t, named)
    t.equal(tapes.length, 2)
    const all = [legacy[0]!, legacy[1]!].map(c => requestsOf(c)[0]!)
    t.same(
      all.map(r => [r.id, r.at, r.cancelled?.at]),
      [
        ['1', 1000, 2500],
        ['2', 1500, 3000]
      ]
    )
    t.same(
      all.map(r => [r.order, r.cancelled?.order]),
      [
        [0, 2],
        [1, 3]
      ]
    )
  }
})

t.test('marks, headers, batches, places and frames that are missing', async t => {
  const headers = [['X-Key', '[redacted]']] as const
  const file = tapeOf(t, [
    up('post-1', [request(1, 'a'), request(2, 'b')], {
      http: { method: 'POST', headers },
      redacted: ['header:x-key', 'literal']
    }),
    note('dropped', { data: { count: 3 } }),
    note('dropped', { remark: 'x reached nobody' })
  ])
  const { legacy, tapes } = await read(t, file)
  const [a, b] = requestsOf(legacy[0])
  t.match(a, {
    batch: 1,
    redacted: ['header:x-key', 'literal'],
    headers: ['X-Key', '[redacted]'],
    place: { file, line: 2 }
  })
  t.equal(b?.batch, 1)
  t.same(
    [a, b].map(r => JSON.parse(r!.text.get()).method),
    ['a', 'b']
  )
  t.equal(tapes[0]?.missing, 3)
})
