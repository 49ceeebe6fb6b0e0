import { testCells } from './cells.ts'

testCells('stdio')
