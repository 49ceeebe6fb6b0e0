/** Clients of the official SDK that ask all the time, and keep account of what came of it. */
import { Tally } from '../fixtures/servers/tally.ts'
import { connectHttp, type HttpTestClient } from '../helpers/clients.ts'

/** Short, and in vain: where a stream has ended for good, nobody looks for it for long. */
const RECONNECTION = {
  initialReconnectionDelay: 10,
  maxReconnectionDelay: 10,
  reconnectionDelayGrowFactor: 1,
  maxRetries: 1
}

/** What all of them have seen. */
export class Account {
  /** Tags of calls, each used once, that have their answer. */
  readonly answered: string[] = []
  /** Calls that had an error for an answer, with its text. */
  readonly refused = new Map<string, string>()
  /** What should never be: an answer to something else, progress that is missing. */
  readonly wrong: string[] = []
  /** Answers by the name of the client; `NAME subscription` for each subscription that was made. */
  readonly tally = new Tally()
  /** How subscriptions ended. */
  readonly ends: string[] = []
  #tags = 0

  tag(name: string): string {
    return `${name} ${++this.#tags}.`
  }
}

/** One call, of the two kinds in turn: the answer has to be its own. False once there is no answer any more. */
export async function call(c: HttpTestClient, account: Account, name: string): Promise<boolean> {
  const tag = account.tag(name)
  const n = account.answered.length % 3
  const steps: number[] = []
  try {
    const args = { tag, n }
    const result = await (n === 0
      ? c.client.callTool({ name: 'echo', arguments: args })
      : c.client.callTool(
          { name: 'progress', arguments: args },
          { onprogress: ({ progress }) => void steps.push(progress) }
        ))
    const [said] = (result as { content: { text: string }[] }).content
    const right = n === 0 ? said?.text === JSON.stringify(args) : said?.text === `progressed ${n}`
    if (!right || steps.length !== n) account.wrong.push(`${tag}: ${said?.text}, progress ${steps}`)
    account.answered.push(tag)
    account.tally.add(name)
    return true
  } catch (error) {
    const { message, cause } = error as Error
    account.refused.set(tag, `${message}: ${cause}`)
    return false
  }
}

/** One session for as long as it is answered, with its stream open. Resolves when it is no more. */
export async function stay(c: HttpTestClient, account: Account, name: string): Promise<void> {
  while (await call(c, account, name));
}

/** A session after the other, each with some calls, and ended. What cannot begin one is the end. */
export async function comeAndGo(url: string, account: Account, name: string): Promise<void> {
  for (let going = true; going; ) {
    const c = await connectHttp(url, { reconnection: RECONNECTION }).catch((error: Error) => error)
    if (c instanceof Error) return void account.refused.set(account.tag(name), `${c.message}: ${c.cause}`)
    for (let i = 0; i < 4 && going; i++) going = await call(c, account, name)
    if (going) await c.terminate().catch((error: Error) => void account.refused.set(account.tag(name), error.message))
    await c.close()
  }
}

/** Calls of revision 2026-07-28, and a subscription that is made anew whenever it has ended. */
export async function subscribe(c: HttpTestClient, account: Account, name: string): Promise<void> {
  const listening = async (): Promise<void> => {
    for (;;) {
      const subscription = await c.client.listen({ toolsListChanged: true }).catch(() => undefined)
      if (!subscription) return
      account.tally.add(`${name} subscription`)
      account.ends.push(await subscription.closed)
    }
  }
  await Promise.all([stay(c, account, name), listening()])
}

export function connectLegacy(url: string): Promise<HttpTestClient> {
  return connectHttp(url, { reconnection: RECONNECTION })
}
