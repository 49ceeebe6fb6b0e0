/** Short forms for the steps of the script. */
import type { CallToolResult, JSONRPCNotification } from '@modelcontextprotocol/client'
import type { TestClient } from '../helpers/clients.ts'

type Args = Record<string, unknown>

/** A call's whole result. */
export async function call(c: TestClient, name: string, args: Args = {}): Promise<CallToolResult> {
  return c.client.callTool({ name, arguments: args })
}

/** The text of a call's result. */
export async function say(c: TestClient, name: string, args: Args = {}): Promise<string> {
  return textOf(await call(c, name, args))
}

export function textOf(result: CallToolResult): string {
  const [first] = result.content
  return first?.type === 'text' ? first.text : ''
}

/** Waits at the server until it has counted `name` so often. */
export async function happened(c: TestClient, name: string, atLeast = 1): Promise<void> {
  const text = await say(c, 'until', { name, atLeast })
  // What is no number is an error in words.
  if (!(Number(text) >= atLeast)) throw new Error(`the server has not seen ${atLeast} × ${name}: ${text}`)
}

/** All notifications of a method so far. */
export function heard(c: TestClient, method: string): JSONRPCNotification[] {
  return c.notifications.items.filter(n => n.method === method)
}

/** A promise that is awaited later; if the step fails before that, its own failure is what counts. */
export function later<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {})
  return promise
}

export type Refusal = Error & { readonly code?: unknown; readonly data?: unknown }

/** What a promise rejects with; an error where it does not. */
export async function refusal(promise: Promise<unknown>): Promise<Refusal> {
  const outcome = await promise.then(
    value => ({ value }),
    (error: Error) => ({ error })
  )
  if ('error' in outcome) return outcome.error
  throw new Error(`expected a refusal, got ${JSON.stringify(outcome.value)}`)
}

/** A JSON-RPC error's code, also where the SDK shows no more of the error than its HTTP body (revision 2026-07-28, 404). */
export function rpcCodeOf({ code, data }: Refusal): unknown {
  const body = (data as { text?: unknown } | undefined)?.text
  return typeof body === 'string' ? (JSON.parse(body) as { error?: { code?: unknown } }).error?.code : code
}
