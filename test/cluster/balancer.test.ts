/** That what stands in front of the instances is as dumb as it is meant to be. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Agent, request } from 'undici'
import { trackLeaks } from '../helpers/leaks.ts'
import { skipWithoutBalancer, startBalancer } from './balancer.ts'

const skip = process.platform === 'win32' ? 'haproxy is tried on Unix' : skipWithoutBalancer()

async function named(name: string): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((_, res) => void res.end(name))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  return { server, port: (server.address() as AddressInfo).port }
}

t.test('each request of one connection goes to the next instance; one that is gone is left out', { skip }, async t => {
  trackLeaks(t)
  const servers = await Promise.all(['a', 'b', 'c'].map(named))
  t.teardown(() => {
    for (const { server } of servers) {
      server.close()
      server.closeAllConnections()
    }
  })
  const balancer = await startBalancer(servers.map(({ port }) => port))
  t.teardown(() => balancer.close())
  const agent = new Agent({ connections: 1 })
  t.teardown(() => agent.destroy())
  const ask = async (): Promise<string> => (await request(balancer.url, { dispatcher: agent })).body.text()
  const asked = async (times: number): Promise<string> => {
    let all = ''
    for (let i = 0; i < times; i++) all += await ask()
    return all
  }
  t.ok('abcabcabcabc'.includes(await asked(9)))
  const { server } = servers[1]!
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
  t.match(await asked(6), /^[ac]{6}$/)
})
