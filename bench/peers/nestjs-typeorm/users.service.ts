import { Injectable } from '@nestjs/common';
import { InjectRepository } from '@nestjs/typeorm';
import { Repository } from 'typeorm';
import { User } from '../typeorm/user.entity.ts';
import { Users } from '../typeorm/users.ts';

@Injectable()
export class UsersService extends Users {
  constructor(@InjectRepository(User) repository: Repository<User>) {
    super(repository);
  }
}
