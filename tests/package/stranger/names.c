/* SPDX-License-Identifier: MIT */
/* A program's own functions by the short words that the suite uses too: both are linked, and stay
   apart. */
int advance(int x);
int begin(int x);
int has(int x);
int one(int x);
int other(int x);
int reopen(int x);
int record_now(int x);

int advance(int x)
{
    return x;
}
int begin(int x)
{
    return x;
}
int has(int x)
{
    return x;
}
int one(int x)
{
    return x;
}
int other(int x)
{
    return x;
}
int reopen(int x)
{
    return x;
}
int record_now(int x)
{
    return x;
}
