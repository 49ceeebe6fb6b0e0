/**
 * Keeps a tool from being called, and takes it off the list that clients see.
 *
 *   node examples/block-tool.ts get-env                             in front of the reference server
 *   node examples/block-tool.ts get-env http://127.0.0.1:3001/mcp   in front of yours
 */
// In a project of your own: import { CatflapError, createForward, type Interceptor, Message } from 'catflap'
import { CatflapError, createForward, type Interceptor, Message } from '../src/index.ts'
import { targetFrom } from './target.ts'

const [blocked = 'get-env', ...rest] = process.argv.slice(2)

const blockTool: Interceptor = {
  name: 'block-tool',
  // Asked of every request before it goes to the server: what is returned is the client's answer in the server's place.
  request(exchange) {
    const messages = exchange.batch ?? [exchange.message]
    if (!messages.some(m => m?.method === 'tools/call' && m.name === blocked)) return undefined
    return { error: new CatflapError('blocked', `The tool '${blocked}' is not allowed here.`) }
  },
  // Only the answers to tools/list are read; everything else passes unparsed.
  wants: place => 'message' in place && place.message?.method === 'tools/list',
  message(_place, message, direction) {
    const { result, ...answer } = message.json as { result?: { tools?: readonly { name: string }[] } }
    if (direction === 'up' || !result?.tools) return message
    return Message.from({ ...answer, result: { ...result, tools: result.tools.filter(t => t.name !== blocked) } })
  }
}

const proxy = await createForward({ target: targetFrom(rest), interceptors: [blockTool] })
console.log(`Point your client at ${proxy.url}; it will not see '${blocked}' (Ctrl-C ends)`)
process.once('SIGINT', () => proxy.close())
