import t from 'tap'
import { KnownNames } from '../../src/protocol/known-names.ts'

t.test('a known name is found by its bytes, wherever they stand', async t => {
  const names = ['id', 'jsonrpc', 'method', 'params', 'née']
  const known = new KnownNames(names)
  for (const name of names) {
    const bytes = Buffer.from(`"${name}":`)
    t.equal(known.at(bytes, 1, bytes.length - 2), name)
  }
})

t.test('what is not quite a known name is none', async t => {
  const known = new KnownNames(['method', 'id'])
  for (const text of ['', 'i', 'methox', 'mEthod', 'Method', 'mexhod', 'methods', 'metho', 'id ', 'ID', 'i\\u0064']) {
    const bytes = Buffer.from(text)
    t.equal(known.at(bytes, 0, bytes.length), undefined, JSON.stringify(text))
  }
})
