/** What changes at the server, and who is told. */
import assert from 'node:assert/strict'
import { FIXTURE_RESOURCE } from '../fixtures/servers/definition.ts'
import { happened, heard, say } from './say.ts'
import type { Step } from './script.ts'

const UPDATED = 'notifications/resources/updated'
const LISTS = ['tools', 'prompts', 'resources'] as const
const changed = (what: string) => `notifications/${what}/list_changed`

export const CHANGE_STEPS: readonly Step[] = [
  {
    name: 'the lists change',
    needs: 'subscribe',
    async run({ c, listening }) {
      await listening()
      for (const what of LISTS) {
        await say(c, 'change', { what })
        await c.until(changed(what))
      }
    }
  },
  {
    name: 'a resource is subscribed to, updated and left',
    needs: 'subscribe',
    async run({ c }) {
      await c.client.subscribeResource({ uri: FIXTURE_RESOURCE })
      await happened(c, 'resource.subscribed')
      await say(c, 'touch', { uri: FIXTURE_RESOURCE })
      assert.deepEqual((await c.until(UPDATED)).params?.uri, FIXTURE_RESOURCE)
      await c.client.unsubscribeResource({ uri: FIXTURE_RESOURCE })
      await say(c, 'touch', { uri: FIXTURE_RESOURCE })
      await lastWord(c, () => say(c, 'change', { what: 'prompts' }))
      assert.equal(heard(c, UPDATED).length, 1)
    }
  },
  {
    name: 'a subscription hears what it asked for, and ends',
    needs: 'listen',
    async run({ c }) {
      const everything = { toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true }
      const all = await c.client.listen({ ...everything, resourceSubscriptions: [FIXTURE_RESOURCE] })
      await say(c, 'touch', { uri: FIXTURE_RESOURCE })
      assert.deepEqual((await c.until(UPDATED)).params?.uri, FIXTURE_RESOURCE)
      for (const what of LISTS) {
        await say(c, 'change', { what })
        await c.until(changed(what))
      }
      await all.close()
      const few = await c.client.listen({ promptsListChanged: true })
      await say(c, 'touch', { uri: FIXTURE_RESOURCE })
      await say(c, 'change', { what: 'tools' })
      await lastWord(c, () => say(c, 'change', { what: 'prompts' }))
      assert.deepEqual(
        [UPDATED, changed('tools')].map(method => heard(c, method).length),
        [1, 1]
      )
      await few.close()
    }
  }
]

/** Waits for one more change of the prompts: what the server said before that has arrived by then. */
async function lastWord(c: Parameters<typeof say>[0], change: () => Promise<string>): Promise<void> {
  const before = heard(c, changed('prompts')).length
  await change()
  await c.until(() => heard(c, changed('prompts')).length > before)
}
