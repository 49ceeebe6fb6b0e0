/** A tape of a client in the shop. */
import path from 'node:path'
import type { Test } from 'tap'
import { createForward } from '../../src/index.ts'
import { type ShopChange, type ShopServer, startShop } from '../fixtures/servers/shop.ts'
import { connectHttp, type TestClient } from '../helpers/clients.ts'
import { callTool } from '../replay/replay-stage.ts'

export async function shopOf(t: Test, changes: readonly ShopChange[] = [], token?: string): Promise<ShopServer> {
  const shop = await startShop(changes, token)
  t.teardown(() => shop.close())
  return shop
}

export interface TapeOptions {
  readonly headers?: Readonly<Record<string, string>>
  readonly token?: string
}

/** Records what the client does there. */
export async function shopTape(
  t: Test,
  script: (c: TestClient) => Promise<void>,
  { headers, token }: TapeOptions = {}
): Promise<string> {
  const file = path.join(t.testdir(), 'shop.tape.jsonl')
  const shop = await startShop([], token)
  const door = await createForward({ target: { url: shop.url }, record: { path: file } })
  const c = await connectHttp(door.url!, { version: '2025-11-25', ...(headers && { headers }) })
  await script(c)
  await c.close()
  await door.close()
  await shop.close()
  return file
}

/** Lists, and looks for something. */
export async function lookAround(c: TestClient): Promise<void> {
  await c.client.listTools()
  await c.client.listPrompts()
  await callTool(c, 'find', { text: 'x' })
}

/** Makes an item and looks at it; the price of it is what may change. */
export async function shopping(c: TestClient): Promise<void> {
  await c.client.listTools()
  const said = await callTool(c, 'create_item', { title: 'a lamp' })
  const id = /item_\w+/.exec(said)![0]
  await callTool(c, 'get_item', { id })
  await callTool(c, 'find', { text: `near ${id}, but not it` })
}
