/** What the server asks its client: in the middle of a call, and on no call's behalf where the revision has that. */
import assert from 'node:assert/strict'
import { call, say } from './say.ts'
import type { Step } from './script.ts'

export const ASKING_STEPS: readonly Step[] = [
  {
    name: 'a call asks for sampling',
    async run({ c }) {
      assert.match(await say(c, 'sample', { message: 'Grüße' }), /"text":"sampled: Grüße"/)
    }
  },
  {
    name: 'a call asks for the roots',
    async run({ c }) {
      assert.match(await say(c, 'roots'), /file:\/\/\/fixture/)
    }
  },
  {
    name: 'a call asks the user',
    needs: 'elicitation',
    async run({ c }) {
      assert.match(await say(c, 'elicit', { message: 'blue?' }), /"colour":"blue\?"/)
    }
  },
  {
    name: 'calls that ask at the same time each get their own answer',
    async run({ c }) {
      const names = ['one', 'two', 'three', 'four']
      const answers = await Promise.all(names.map(message => say(c, 'sample', { message })))
      for (const [i, name] of names.entries()) assert.match(answers[i]!, new RegExp(`sampled: ${name}"`))
    }
  },
  {
    name: 'the state of a question comes back as it was given',
    needs: 'listen',
    async run({ c }) {
      assert.match(JSON.stringify((await call(c, 'roots')).structuredContent), /"requestState":"state of roots"/)
    }
  },
  {
    name: 'the server asks on its own account',
    needs: 'serverRequests',
    async run({ c, listening }) {
      await listening()
      assert.match(await say(c, 'sample', { message: 'own', via: 'session' }), /sampled: own"/)
      assert.match(await say(c, 'roots', { via: 'session' }), /file:\/\/\/fixture/)
    }
  }
]
