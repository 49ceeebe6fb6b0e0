/** How long it takes until clients can connect. */
import { CALL, HEADERS, post, postHead, RESULT, SESSION_HEADER } from '../load/messages.ts'
import { expectAnswers, openSessions } from '../load/sessions.ts'
import { nginxServer, small } from './calls.ts'
import type { Scenario } from './scenario.ts'

export const startUp: Scenario = {
  ...small,
  name: 'start-up',
  title: 'Start-up',
  says: 'From the start of the process until its port takes connections, and what its first session and first call take from then on: nothing may be put off until somebody waits for it. `node` is `node -e 0` from start to end.',
  metrics: [
    { key: 'ms', label: 'ms to listening', digits: 0, better: 'less' },
    { key: 'first', label: 'ms of the first call', digits: 1, better: 'less' }
  ],
  base: 'node',
  peers: ['node', 'nginx', 'haproxy', 'http-proxy-3-keep-alive', 'relay', 'bare-relay', 'catflap'],
  fresh: true,
  server: context => nginxServer(context),
  open: async (peer, kind) => {
    if (kind.name === 'node') return { round: async () => ({ ms: peer.startedIn }) }
    const listening = performance.now()
    const [session] = await openSessions(peer.url, 1)
    const head = postHead(peer.url, { ...HEADERS, [SESSION_HEADER]: session! })
    await expectAnswers(peer.url, post(head, CALL), RESULT, { times: 1 })
    const first = performance.now() - listening
    return { round: async () => ({ ms: peer.startedIn, first }) }
  }
}
