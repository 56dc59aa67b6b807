/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile guest in the firmware's place: a 256 KiB ROM whose every CPU, for ever, writes random values to random ports, to
 * the registers of every PCI device, to config space and to the memory that rings and descriptors are likely to be in.
 * It has neither stack nor code in RAM, so that what devices write there can't stop it. Seed: 4 bytes at 0x3fff8.
 *	gcc -m32 -nostdlib -static -Wl,--build-id=none,-Ttext=0xfffc0000 …; objcopy -O binary -j .text
 */
ROM = 0xfffc0000
STATE = 0x1fff0		/* next bus, next MMIO, next port, number of BARs; all in RAM, and so all hostile later */
TABLE = 0x20000		/* BARs: address | is a port, size - 1 */
BOOTS = 0x1ffe0		/* starts, never reset: each start takes another way */
RINGS = 0x100000
RINGS_MASK = 0xffff0

	.text
	.globl _start
_start:
	.code32

/* ebp is the generator's state; eax the number, ecx is kept */
.macro RAND
	mov %ebp, %eax
	shl $13, %eax
	xor %eax, %ebp
	mov %ebp, %eax
	shr $17, %eax
	xor %eax, %ebp
	mov %ebp, %eax
	shl $5, %eax
	xor %eax, %ebp
	mov %ebp, %eax
.endm
/* Config register edi of the function ebx: to eax; from ecx */
.macro CONFIG_READ
	lea (%ebx,%edi), %eax
	mov $0xcf8, %edx
	out %eax, %dx
	mov $0xcfc, %edx
	in %dx, %eax
.endm
.macro CONFIG_WRITE
	lea (%ebx,%edi), %eax
	mov $0xcf8, %edx
	out %eax, %dx
	mov $0xcfc, %edx
	mov %ecx, %eax
	out %eax, %dx
.endm

	.org 0x30000
flat:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov 0xfee00020, %eax	/* local APIC id */
	shr $24, %eax
	mov %eax, %ebx
	imul $0x9e3779b9, %eax, %eax
	mov ROM + 0x3fff8, %ebp
	xor %eax, %ebp
	mov BOOTS, %eax
	imul $0x85ebca6b, %eax, %eax
	xor %eax, %ebp
	jnz 1f
	inc %ebp
1:	test %ebx, %ebx
	jnz attack		/* the others find devices in place */
	incl BOOTS
	movl $1, STATE
	movl $0xc1000000, STATE + 4
	movl $0xc000, STATE + 8
	movl $0, STATE + 12

/* ---- give every device addresses, let it decode and master */
	mov $0x80000000, %ebx
function:
	xor %edi, %edi
	CONFIG_READ
	cmp $-1, %eax
	je next_function
	mov $0x0c, %edi
	CONFIG_READ
	test $0x10000, %eax
	jz endpoint
	mov STATE, %ecx
	incl STATE
	imul $0x010100, %ecx, %ecx
	mov $0x18, %edi
	CONFIG_WRITE
	jmp command
endpoint:
	mov $0x10, %edi
bar:
	mov $-1, %ecx
	CONFIG_WRITE
	CONFIG_READ
	mov %eax, %ecx
	test %ecx, %ecx
	jz next_bar
	test $1, %ecx
	jz memory_bar
	and $~3, %ecx
	neg %ecx
	and $0xffff, %ecx
	mov STATE + 8, %eax
	dec %eax
	add %ecx, %eax
	mov %ecx, %esi
	neg %esi
	and %esi, %eax		/* aligned */
	lea (%eax,%ecx), %esi
	mov %esi, STATE + 8
	mov %eax, %esi
	or $1, %esi
	jmp place
memory_bar:
	mov %ecx, %esi
	and $~15, %ecx
	neg %ecx
	and $6, %esi
	cmp $4, %esi
	jne 1f
	mov %ecx, %esi		/* upper half of a 64-bit BAR: zero */
	add $4, %edi
	xor %ecx, %ecx
	CONFIG_WRITE
	sub $4, %edi
	mov %esi, %ecx
	mov $1, %esi
	jmp 2f
1:	xor %esi, %esi
2:	mov STATE + 4, %eax
	dec %eax
	add %ecx, %eax
	neg %ecx
	and %ecx, %eax
	neg %ecx
	mov %eax, %edx
	add %ecx, %edx
	mov %edx, STATE + 4
	xchg %eax, %esi		/* esi: address, eax: 64-bit */
	test %eax, %eax
	jz place
	mov STATE + 12, %eax
	mov %esi, TABLE(,%eax,8)
	dec %ecx
	mov %ecx, TABLE + 4(,%eax,8)
	incl STATE + 12
	mov %esi, %ecx
	CONFIG_WRITE
	add $4, %edi
	jmp next_bar
place:
	mov STATE + 12, %eax
	mov %esi, TABLE(,%eax,8)
	dec %ecx
	mov %ecx, TABLE + 4(,%eax,8)
	incl STATE + 12
	mov %esi, %ecx
	CONFIG_WRITE
next_bar:
	add $4, %edi
	cmp $0x28, %edi
	jb bar
command:
	mov $4, %edi
	mov $7, %ecx
	CONFIG_WRITE
next_function:
	add $0x100, %ebx
	cmp $0x80040000, %ebx
	jb function

/* ---- wake the others: INIT, then SIPI to page 0xff */
	movl $0x000c4500, 0xfee00300
	mov $100000, %ecx
1:	dec %ecx
	jnz 1b
	movl $0x000c46ff, 0xfee00300

/* ---- for ever */
attack:
	RAND
	mov %eax, %esi
	and $15, %esi
	cmp $9, %esi
	jb write_bar
	cmp $11, %esi
	jb read_bar
	cmp $14, %esi
	jb poke_rings
	je write_config

/* One in 16: any port; and some times a second, a reset in the middle of everything. */
	RAND
	test $0xff000000, %eax
	jnz 1f
	mov $0xcf9, %edx
	mov $2, %al
	out %al, %dx
	mov $6, %al
	out %al, %dx
1:	RAND
	movzwl %ax, %edx
	and $~3, %eax
	mov %edx, %ecx
	and $~3, %ecx
	cmp $0xcf8, %ecx
	je attack
	RAND
	test $0x100, %eax
	jz 1f
	out %al, %dx
	jmp attack
1:	test $0x200, %eax
	jz 2f
	in %dx, %ax
	jmp attack
2:	out %eax, %dx
	jmp attack

/* edi: an address in a BAR; esi: its size - 1; flags of the last test: a port? */
.macro PICK_BAR
	RAND
	mov STATE + 12, %ecx
	and $63, %ecx
	inc %ecx
	xor %edx, %edx
	div %ecx
	mov TABLE(,%edx,8), %edi
	mov TABLE + 4(,%edx,8), %esi
	RAND
	test $3, %al
	jz 1f
	and $0x3ff, %esi	/* where registers are dense */
1:	shr $3, %eax
	and %esi, %eax
	mov %eax, %esi
	RAND
	test $7, %al
	jz 1f
	and $~3, %esi
1:	mov %edi, %ecx
	and $~3, %edi
	add %esi, %edi
	test $1, %cl
.endm
write_bar:
	PICK_BAR
	mov %edi, %edx
	setnz %bl
	RAND
	mov %eax, %esi
	shr $8, %esi
	test $3, %al
	jz 1f
	and $RINGS_MASK, %esi	/* a pointer into the rings, */
	add $RINGS, %esi
	test $1, %al
	jz 1f
	and $0xff, %esi		/* or a small number, */
	test $2, %al
	jz 1f
	mov %esi, %ecx
	mov $1, %esi
	shl %cl, %esi		/* or one bit */
1:	test %bl, %bl
	jz 2f
	test $0x80, %al
	mov %esi, %eax
	jz 1f
	out %al, %dx
	jmp attack
1:	out %eax, %dx
	jmp attack
2:	cmp $0xc0000000, %edi
	jb attack		/* the table was written over: RAM, or not decoded */
	cmp $RING_TOP, %edi
	ja attack
	test $0x70, %al
	jz 1f
	mov %esi, (%edi)
	jmp attack
1:	test $0x80, %al
	jz 1f
	mov %si, (%edi)
	jmp attack
1:	mov %esi, %eax
	mov %al, (%edi)
	jmp attack
RING_TOP = 0xfebfffff

read_bar:
	PICK_BAR
	mov %edi, %edx
	jz 1f
	in %dx, %eax
	jmp attack
1:	cmp $0xc0000000, %edi
	jb attack
	mov (%edi), %eax
	jmp attack

/* 16 dwords: random, small, or pointers to more of the same */
poke_rings:
	RAND
	and $RINGS_MASK, %eax
	lea RINGS(%eax), %edi
	mov $16, %ecx
1:	RAND
	mov %eax, %esi
	shr $8, %esi
	test $3, %al
	jz 2f
	and $0xf, %esi
	test $1, %al
	jz 2f
	RAND
	and $RINGS_MASK, %eax
	lea RINGS(%eax), %esi
2:	mov %esi, (%edi)
	add $4, %edi
	dec %ecx
	jnz 1b
	jmp attack

/* Any register of any function; then decoding and mastering on again, most of the time. */
write_config:
	RAND
	test $0xf0, %al
	jnz attack
	RAND
	mov %eax, %ebx
	and $0x3ff00, %ebx
	or $0x80000000, %ebx
	RAND
	mov %eax, %edi
	and $0xfc, %edi
	RAND
	mov %eax, %ecx
	cmp $0x10, %edi
	jb 1f
	cmp $0x28, %edi
	jb attack		/* the BARs stay */
1:	CONFIG_WRITE
	RAND
	test $7, %al
	jz attack
	mov $4, %edi
	mov $7, %ecx
	CONFIG_WRITE
	jmp attack

	.balign 8
table:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
pointer:
	.word 23
	.long table

/* ---- real mode; an AP starts at 0xff000, the BSP comes from the reset vector */
	.org 0x3f000
	.code16
real:
	cli
	mov $0xf000, %ax
	mov %ax, %ds
	lgdtl pointer - _start - 0x30000
	mov %cr0, %eax
	or $1, %al
	and $0x9fffffff, %eax
	mov %eax, %cr0
	ljmpl $8, $flat

	.org 0x3fff0
	ljmp $0xf000, $0xf000
	.org 0x3fff8
	.long 1
	.org 0x40000
