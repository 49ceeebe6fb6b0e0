/**
 * Logs every tool call that passes, and how long its client waited for the answer.
 *
 *   node examples/log-tool-calls.ts                             in front of the reference server
 *   node examples/log-tool-calls.ts http://127.0.0.1:3001/mcp   in front of yours
 */
// In a project of your own: import { createForward, type Interceptor } from 'catflap'
import { createForward, type Interceptor } from '../src/index.ts'
import { targetFrom } from './target.ts'

const logToolCalls: Interceptor = {
  name: 'log-tool-calls',
  end(exchange, { result, duration }) {
    for (const message of exchange.batch ?? [exchange.message])
      if (message?.method === 'tools/call') console.log(`${message.name}: ${result} after ${duration.toFixed(1)} ms`)
  }
}

const proxy = await createForward({ target: targetFrom(process.argv.slice(2)), interceptors: [logToolCalls] })
console.log(`Point your client at ${proxy.url} (Ctrl-C ends)`)
process.once('SIGINT', () => proxy.close())
