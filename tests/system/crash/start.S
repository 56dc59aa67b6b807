/* SPDX-License-Identifier: Apache-2.0 */
/* Setup header of Linux' boot protocol 2.15, as far as a direct boot reads it, then the 64-bit entry at 0x200 of the kernel proper. */
LOAD = 0x100000
ROOM = 0x1000000

	.section .setup, "a"
	.org 0x1f1
	.byte 1			/* setup sectors */
	.org 0x200
	.byte 0xeb, 0x62	/* the jump's distance is the header's length */
	.ascii "HdrS"
	.word 0x20f
	.org 0x211
	.byte 1			/* loaded high */
	.org 0x22c
	.long 0x7fffffff	/* highest address of the initrd */
	.long 0x1000
	.org 0x236
	.word 1			/* 64-bit entry */
	.long 0x7ff
	.org 0x258
	.quad LOAD
	.long ROOM
	.org 0x400

	.section .text.start, "ax"
	.org 0x200
	.globl _start
_start:
	cli
	cld
	lea stack_end(%rip), %rsp
	mov %rsi, %rdi
	lea gate_handler(%rip), %rax
	lea idt + 0x40 * 16(%rip), %rdx
	mov %ax, (%rdx)
	mov %cs, 2(%rdx)
	movw $0x8e00, 4(%rdx)
	shr $16, %rax
	mov %ax, 6(%rdx)	/* the kernel lies below 4 GiB: the upper half stays zero */
	lidt idt_pointer(%rip)
	call guest_main
1:	hlt
	jmp 1b

gate_handler:
	push %rax
	mov $0xfee000b0, %eax
	movl $0, (%rax)		/* end of interrupt */
	pop %rax
	iretq

	.section .data
	.balign 8
idt_pointer:
	.word 0x41 * 16 - 1
	.quad idt

	.section .bss
	.balign 16
idt:	.skip 0x41 * 16
	.skip 16384
stack_end:

	.section .note.GNU-stack, "", @progbits
