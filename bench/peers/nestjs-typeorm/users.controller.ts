import {
  Body,
  ConflictException,
  Controller,
  Get,
  NotFoundException,
  Param,
  ParseIntPipe,
  Patch,
  Post,
  Query,
  Res,
} from '@nestjs/common';
import type { Response } from 'express';
import { ListUsersDto, NewUserDto, UserPatchDto } from './users.dto.ts';
import { UsersService } from './users.service.ts';

@Controller('users')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Get(':id')
  async find(@Param('id', ParseIntPipe) id: number, @Res({ passthrough: true }) response: Response) {
    const user = await this.users.find(id);
    if (user === null) throw new NotFoundException();
    response.set('etag', `"${user.version}"`);
    return user;
  }

  @Get()
  list(@Query() { limit, after }: ListUsersDto) {
    return this.users.list(limit, after);
  }

  @Post()
  async create(@Body() input: NewUserDto, @Res({ passthrough: true }) response: Response) {
    const user = await this.users.create(input);
    if (user === undefined) throw new ConflictException('Email taken');
    response.location(`/users/${user.id}`).set('etag', `"${user.version}"`);
    return user;
  }

  @Patch(':id')
  async patch(
    @Param('id', ParseIntPipe) id: number,
    @Body() { attributes = {} }: UserPatchDto,
    @Res({ passthrough: true }) response: Response,
  ) {
    const user = await this.users.patch(id, attributes);
    if (user === null) throw new NotFoundException();
    response.set('etag', `"${user.version}"`);
    return user;
  }
}
