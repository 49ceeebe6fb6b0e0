/** What a server is, and what it has. */
import assert from 'node:assert/strict'
import { isJSONRPCResultResponse } from '@modelcontextprotocol/client'
import { FIXTURE_ITEMS, FIXTURE_RESOURCE, FIXTURE_TEMPLATE } from '../fixtures/servers/definition.ts'
import { refusal } from './say.ts'
import type { Step } from './script.ts'

export const LIST_STEPS: readonly Step[] = [
  {
    name: 'the revision that was asked for is spoken',
    async run({ c, revision }) {
      assert.equal(c.client.getNegotiatedProtocolVersion(), revision)
      assert.deepEqual(c.client.getServerVersion(), { name: 'catflap-fixture', version: '1.2.3' })
      assert.match(c.client.getInstructions() ?? '', /^A fixture/)
      assert.equal(c.client.getServerCapabilities()?.resources?.subscribe, true)
    }
  },
  {
    name: 'tools are listed',
    async run({ c }) {
      const { tools } = await c.client.listTools()
      const names = tools.map(tool => tool.name)
      for (const name of ['echo', 'progress', 'slow', 'sample', 'region']) assert.ok(names.includes(name), name)
      const region = tools.find(tool => tool.name === 'region')?.inputSchema.properties?.region
      assert.deepEqual(region, { type: 'string', 'x-mcp-header': 'Region' })
    }
  },
  {
    name: 'resources are listed, with those of a template, and read',
    async run({ c }) {
      const { resources } = await c.client.listResources()
      const uris = resources.map(resource => resource.uri)
      assert.deepEqual(uris, [FIXTURE_RESOURCE, ...FIXTURE_ITEMS.map(id => `fixture://item/${id}`)])
      const { contents } = await c.client.readResource({ uri: FIXTURE_RESOURCE })
      assert.match(JSON.stringify(contents), /note, read 1 times/)
    }
  },
  {
    name: 'templates are listed, and read with a value that no header can hold as it is',
    async run({ c }) {
      const { resourceTemplates } = await c.client.listResourceTemplates()
      assert.deepEqual(
        resourceTemplates.map(template => template.uriTemplate),
        [FIXTURE_TEMPLATE]
      )
      const { contents } = await c.client.readResource({ uri: 'fixture://item/Zürich ✓' })
      assert.match(JSON.stringify(contents), /Z(ü|%C3%BC)rich/)
    }
  },
  {
    name: 'prompts are listed, page by page, and got',
    async run({ c }) {
      const before = c.messages.items.length
      const { prompts } = await c.client.listPrompts()
      const pages = c.messages.items.slice(before).filter(isJSONRPCResultResponse)
      assert.deepEqual(
        pages.map(page => page.result.nextCursor),
        ['page 1', undefined]
      )
      assert.equal((await refusal(c.client.listPrompts({ cursor: 'no cursor' }))).code, -32_602)
      assert.deepEqual(
        prompts.map(prompt => prompt.name),
        ['greet', 'broken']
      )
      const { messages } = await c.client.getPrompt({ name: 'greet', arguments: { name: 'Ada' } })
      assert.deepEqual(messages, [{ role: 'user', content: { type: 'text', text: 'Say hello to Ada' } }])
    }
  },
  {
    name: 'an argument is completed',
    async run({ c }) {
      const ref = { type: 'ref/resource', uri: FIXTURE_TEMPLATE } as const
      const { completion } = await c.client.complete({ ref, argument: { name: 'id', value: '10' } })
      assert.deepEqual(completion.values, ['10', '100'])
    }
  },
  {
    name: 'ping',
    needs: 'ping',
    async run({ c }) {
      assert.deepEqual(await c.client.ping(), {})
    }
  },
  {
    name: 'the server tells of itself when asked again',
    needs: 'listen',
    async run({ c, revision }) {
      const { supportedVersions } = await c.client.discover()
      assert.ok(supportedVersions.includes(revision), supportedVersions.join())
    }
  }
]
