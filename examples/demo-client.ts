import { Client, isJSONRPCNotification, type Transport } from '@modelcontextprotocol/client'

const LONG = 'trigger-long-running-operation'
const WAIT = 15_000

/** One conversation that uses most of what MCP has; each step says what came back, and throws if it is not what it should be. */
export async function converse(transport: Transport, say: (line: string) => void): Promise<void> {
  const client = new Client(
    { name: 'catflap-demo', version: '1.0.0' },
    { capabilities: { sampling: {}, elicitation: { form: {} } }, versionNegotiation: { mode: 'legacy' } }
  )
  client.setRequestHandler('sampling/createMessage', () => ({
    role: 'assistant',
    content: { type: 'text', text: 'Through the catflap.' },
    model: 'demo-model'
  }))
  client.setRequestHandler('elicitation/create', () => ({
    action: 'accept',
    content: { name: 'Ada Lovelace', check: true }
  }))
  // Counted as they arrive: the SDK forgets a call's `onprogress` with its answer, which may come in the same packet.
  const heard = new Heard()
  transport.onmessage = message => {
    if (isJSONRPCNotification(message)) heard.add(message.method)
  }
  await client.connect(transport)
  try {
    await steps(client, heard, text => say(`   ✓ ${text}`))
    await endSession(transport)
  } finally {
    await client.close()
  }
}

async function steps(client: Client, heard: Heard, done: (text: string) => void): Promise<void> {
  const { tools } = await client.listTools()
  const { prompts } = await client.listPrompts()
  const { resources } = await client.listResources()
  done(`listed ${tools.length} tools, ${prompts.length} prompts and ${resources.length} resources`)

  expect(await call(client, 'echo', { message: 'hello' }), /Echo: hello/)
  done('called a tool')

  const before = heard.count('notifications/progress')
  await call(client, LONG, { duration: 0.5, steps: 5 }, { onprogress: () => {} })
  const progress = heard.count('notifications/progress') - before
  if (progress !== 5) throw new Error(`${progress} progress notifications came instead of 5`)
  done('called a tool that reported its progress 5 times')

  expect(await call(client, 'trigger-sampling-request', { prompt: 'Which way in?' }), /Through the catflap/)
  done('called a tool that asked the client for a completion (sampling)')

  expect(await call(client, 'trigger-elicitation-request', {}), /Ada Lovelace/)
  done('called a tool that asked the user for input (elicitation)')

  const uri = resources[0]?.uri
  if (uri === undefined) throw new Error('the server has no resources')
  await client.subscribeResource({ uri })
  await call(client, 'toggle-subscriber-updates', {})
  await heard.until('notifications/resources/updated')
  await call(client, 'toggle-subscriber-updates', {})
  await client.unsubscribeResource({ uri })
  done('subscribed to a resource and heard of its change')

  await cancelled(client)
  done('cancelled a call')

  expect(await call(client, 'get-sum', { a: 2, b: 40 }), /42/)
  done('and went on as if nothing had happened')
}

async function cancelled(client: Client): Promise<void> {
  const abort = new AbortController()
  const begun = Promise.withResolvers<void>()
  const ended = call(
    client,
    LONG,
    { duration: 6, steps: 10 },
    { onprogress: () => begun.resolve(), signal: abort.signal }
  )
  await Promise.race([begun.promise, ended])
  abort.abort('the user changed their mind')
  const answered = await ended.then(
    () => true,
    () => false
  )
  if (answered) throw new Error('a cancelled call was answered')
}

interface CallOptions {
  readonly onprogress?: () => void
  readonly signal?: AbortSignal
}

async function call(client: Client, name: string, args: object, options: CallOptions = {}): Promise<string> {
  const result = await client.callTool({ name, arguments: { ...args } }, { timeout: WAIT, ...options })
  const text = result.content.map(part => (part.type === 'text' ? part.text : '')).join('\n')
  if (result.isError) throw new Error(`the tool ${name} failed: ${text}`)
  return text
}

function expect(text: string, wanted: RegExp): void {
  if (!wanted.test(text)) throw new Error(`'${text}' came, without ${wanted}`)
}

/** A session on HTTP ends by DELETE, which `close` does not send; on stdio it ends with the pipe. */
async function endSession(transport: Transport): Promise<void> {
  if ('terminateSession' in transport) await (transport as { terminateSession(): Promise<void> }).terminateSession()
}

class Heard {
  readonly #counts = new Map<string, number>()
  readonly #waiting = new Map<string, () => void>()

  add(method: string): void {
    this.#counts.set(method, this.count(method) + 1)
    this.#waiting.get(method)?.()
  }

  count(method: string): number {
    return this.#counts.get(method) ?? 0
  }

  async until(method: string): Promise<void> {
    if (this.count(method) > 0) return
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting.set(method, resolve)
        timer = setTimeout(() => reject(new Error(`no ${method} came within ${WAIT / 1000} s`)), WAIT)
      })
    } finally {
      clearTimeout(timer)
    }
  }
}
