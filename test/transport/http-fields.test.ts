import t from 'tap'
import { basicCredentials, byName } from '../../src/transport/upstream/http-fields.ts'

t.test('fields by name: equal names are kept together, and any name will do', async t => {
  const fields = byName(['a', '1', 'constructor', '2', 'a', '3', '__proto__', '4', 'a', '5'])
  t.same(Object.entries(fields), [
    ['a', ['1', '3', '5']],
    ['constructor', '2'],
    ['__proto__', '4']
  ])
})

t.test('user information is decoded; what is no escape stands for itself', async t => {
  const sent = (url: string) => {
    const header = basicCredentials(new URL(url))
    return header && Buffer.from(header.replace('Basic ', ''), 'base64').toString()
  }
  t.equal(sent('http://a.test/'), undefined)
  t.equal(sent('http://ann:s%40fe@a.test/'), 'ann:s@fe')
  t.equal(sent('http://ann:100%@a.test/'), 'ann:100%')
  t.equal(sent('http://ann:%ff@a.test/'), 'ann:%ff')
})
