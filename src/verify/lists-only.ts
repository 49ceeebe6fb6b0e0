import { LISTS } from './drift.ts'
import { VerifyRefusal } from './options.ts'
import type { Plan } from './plan.ts'

/** What a conversation has to begin with. */
const BEGINNINGS = new Set(['initialize', 'notifications/initialized', 'server/discover'])

/** Of a plan, what asks for lists, in those conversations that did. Throws VerifyRefusal where none did. */
export function listsOf({ acts, conversations }: Plan): Plan {
  const lists = acts.filter(({ step }) => step.kind === 'request' && LISTS.has(step.method))
  if (lists.length === 0)
    throw new VerifyRefusal(['the tape holds no list of tools, prompts or resources that could be compared'])
  const asking = new Set(lists.map(act => act.conversation))
  const isWanted = ({ conversation, step }: Plan['acts'][number]): boolean => {
    if (!asking.has(conversation)) return false
    if (step.kind === 'request') return BEGINNINGS.has(step.method) || LISTS.has(step.method)
    return step.kind === 'end' || (step.kind === 'notification' && BEGINNINGS.has(step.method))
  }
  return { acts: acts.filter(isWanted), conversations: conversations.filter(c => asking.has(c)) }
}
